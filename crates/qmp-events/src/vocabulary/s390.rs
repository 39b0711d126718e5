//! Events that only s390x machines send. QEMU may still change them.

open_enum! {
    /// How the guest wants its CPUs scheduled.
    S390CpuPolarization {
        /// All virtual CPUs get an equal share.
        Horizontal "horizontal";
        /// Some virtual CPUs are entitled to more than others, so that work can be packed on few.
        Vertical "vertical";
    }
}

event! {
    /// The guest asked for its CPUs to be scheduled equally or not.
    ///
    /// A wish: management may follow it by pinning the virtual CPUs, or leave it. Only s390x
    /// machines send it, though 11.1 lists it in the schema of every target.
    CPU_POLARIZATION_CHANGE, since 8.2, unstable;
    CpuPolarizationChange {
        /// What the guest asks for.
        polarization "polarization": S390CpuPolarization;
    }
}

event! {
    /// The guest published its identification: operating system, system name, sysplex name.
    ///
    /// Read it with `qom-get` from the machine's `sclpcpi` device. Only s390x machines send it,
    /// though 11.1 lists it in the schema of every target.
    SCLP_CPI_INFO_AVAILABLE, since 10.2, unstable;
    SclpCpiInfoAvailable {}
}
