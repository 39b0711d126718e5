//! The emitting side of QMP, embeddable in a virtual machine monitor.
