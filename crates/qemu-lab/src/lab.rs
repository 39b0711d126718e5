//! A lab: the QEMUs to test with.

use std::path::PathBuf;

use crate::{
    LabError, Qemu, QemuBinary, REQUIRED, Version,
    binary::{find, probe},
};

/// The QEMUs to test with; makes machines of them.
///
/// ```no_run
/// use qemu_lab::QemuLab;
///
/// let lab = QemuLab::builder().build()?;
/// for mut machine in lab.start_each(|qemu| qemu.monitor("qmp"))? {
///     machine.run("stop")?;
///     machine.event("STOP")?;
/// }
/// # Ok::<(), qemu_lab::LabError>(())
/// ```
#[derive(Debug, Clone)]
pub struct QemuLab {
    binaries: Vec<QemuBinary>,
}

impl QemuLab {
    /// Begins to describe a lab.
    pub fn builder() -> QemuLabBuilder {
        QemuLabBuilder {
            named: Vec::new(),
            required: REQUIRED.to_vec(),
        }
    }

    /// Its QEMUs, oldest first.
    #[must_use]
    pub fn binaries(&self) -> &[QemuBinary] {
        &self.binaries
    }

    /// A machine of each QEMU, not started yet, oldest first.
    pub fn machines(&self) -> impl Iterator<Item = Qemu> {
        self.binaries.iter().map(Qemu::new)
    }

    /// Starts a machine of each QEMU after `described` has said what is special about it.
    ///
    /// # Errors
    ///
    /// As [`Qemu::start`].
    pub fn start_each(
        &self,
        described: impl Fn(Qemu) -> Qemu,
    ) -> Result<Vec<crate::Machine>, LabError> {
        self.machines()
            .map(|qemu| described(qemu).start())
            .collect()
    }
}

/// What a [`QemuLab`] is to be made of.
#[derive(Debug, Clone)]
#[must_use = "call build()"]
pub struct QemuLabBuilder {
    named: Vec<PathBuf>,
    required: Vec<Version>,
}

impl QemuLabBuilder {
    /// Uses this `qemu-system-x86_64`, and only those that are named so. The program is asked for
    /// its version.
    pub fn qemu(mut self, path: impl Into<PathBuf>) -> QemuLabBuilder {
        self.named.push(path.into());
        self
    }

    /// The versions that have to be there, instead of [`REQUIRED`]. It does not count where QEMUs
    /// are named, here or by the environment.
    pub fn require(mut self, versions: impl IntoIterator<Item = Version>) -> QemuLabBuilder {
        self.required = versions.into_iter().collect();
        self
    }

    /// Looks for the QEMUs: those named here, else those of
    /// [`QEMU_LAB_QEMUS`](crate::QEMUS_VARIABLE), else the cache folder's and, for a version that
    /// is missing there, the `PATH`'s.
    ///
    /// # Errors
    ///
    /// [`LabError::Missing`] if a required version is nowhere, and what keeps a named program from
    /// telling its version.
    pub fn build(self) -> Result<QemuLab, LabError> {
        if self.named.is_empty() {
            let binaries = find(&self.required)?;
            return Ok(QemuLab { binaries });
        }
        let mut binaries = Vec::new();
        for path in self.named {
            binaries.push(probe(&path)?);
        }
        binaries.sort_by_key(|binary| binary.version);
        Ok(QemuLab { binaries })
    }
}
