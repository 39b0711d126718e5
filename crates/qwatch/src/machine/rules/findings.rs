//! What is worth knowing beside the run state: jobs, devices, disks, memory, migration.

use super::{NONE, Rule, RuleId, run, say};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: RuleId::JobFailed,
        title: "job failed",
        recognised: "BLOCK_JOB_COMPLETED with `error`; or `query-jobs` has an error for a concluded job.",
        meaning: "The job ended with an error. Its target is incomplete: do not use it.",
        next: &[
            say("Mend what the error names, delete the target, start the job again"),
            run(
                "If it is still listed, let it go",
                "qwatch execute {monitor} job-dismiss id={job}",
            ),
        ],
        source: "QEMU's documentation of BLOCK_JOB_COMPLETED and JOB_STATUS_CHANGE",
        ..NONE
    },
    Rule {
        id: RuleId::JobCancelled,
        title: "job cancelled",
        recognised: "BLOCK_JOB_CANCELLED.",
        meaning: "The job was cancelled by a command, or because QEMU was ending. The target of a backup, or of a mirror \
            that was not ready, is incomplete.",
        next: &[say(
            "Delete the target, and start the job again if it is still wanted",
        )],
        source: "QEMU's documentation of BLOCK_JOB_CANCELLED",
        ..NONE
    },
    Rule {
        id: RuleId::JobAborted,
        title: "job failed or was cancelled",
        recognised: "JOB_STATUS_CHANGE `aborting` and then `concluded`, and neither a BLOCK_JOB event nor `query-jobs` \
            that says which.",
        meaning: "The job did not do its work. Jobs that are no block jobs tell their error to `query-jobs` only, while they \
            are still listed.",
        next: &[run(
            "If it is still listed, ask for its error",
            "qwatch execute {monitor} query-jobs",
        )],
        source: "QEMU's documentation of JOB_STATUS_CHANGE",
        ..NONE
    },
    Rule {
        id: RuleId::JobUnheard,
        title: "job ended unheard",
        recognised: "A job that was going on when it was last heard of, and is not in the answer of `query-jobs` after a time \
            in which nobody listened.",
        meaning: "It ended, and nobody heard how: jobs that dismiss themselves (the default) take their result with them.",
        next: &[say(
            "Check its target before using it; start the job with auto-dismiss=false next time",
        )],
        source: "QEMU's documentation of JOB_STATUS_CHANGE",
        ..NONE
    },
    Rule {
        id: RuleId::JobPaused,
        title: "job paused by an error",
        recognised: "BLOCK_JOB_ERROR with action `stop`, and the job has not gone on since.",
        meaning: "A disk request of the job failed, and its policy (`on-source-error`, `on-target-error`) is to wait. The \
            machine runs on.",
        next: &[run(
            "When the storage is mended, let it go on",
            "qwatch execute {monitor} block-job-resume device={job}",
        )],
        source: "QEMU's documentation of BLOCK_JOB_ERROR",
        ..NONE
    },
    Rule {
        id: RuleId::JobReady,
        title: "job ready, waits to be completed",
        recognised: "BLOCK_JOB_READY or JOB_STATUS_CHANGE `ready`, and nothing since.",
        meaning: "Source and target are equal and are kept so, which costs every write twice. The job waits for a decision.",
        next: &[
            run(
                "Switch over to the copy",
                "qwatch execute {monitor} block-job-complete device={job}",
            ),
            run(
                "Or keep the original",
                "qwatch execute {monitor} block-job-cancel device={job}",
            ),
        ],
        source: "QEMU's documentation of BLOCK_JOB_READY",
        ..NONE
    },
    Rule {
        id: RuleId::JobPending,
        title: "job done, waits to be finalized",
        recognised: "BLOCK_JOB_PENDING or JOB_STATUS_CHANGE `pending`, and nothing since.",
        meaning: "The job was started with auto-finalize off: its work is done, and its last step waits for a command.",
        next: &[run(
            "Let it finish",
            "qwatch execute {monitor} job-finalize id={job}",
        )],
        source: "QEMU's documentation of BLOCK_JOB_PENDING",
        ..NONE
    },
    Rule {
        id: RuleId::JobWaiting,
        title: "job done, waits for others",
        recognised: "JOB_STATUS_CHANGE `waiting`, and nothing since.",
        meaning: "The job is one of a transaction and waits until the others are done: they end together.",
        next: &[run("See the others", "qwatch execute {monitor} query-jobs")],
        source: "QEMU's documentation of JOB_STATUS_CHANGE",
        ..NONE
    },
    Rule {
        id: RuleId::UnplugRefused,
        title: "the guest would not let a device go",
        recognised: "DEVICE_UNPLUG_GUEST_ERROR; before 9.1 MEM_UNPLUG_ERROR; on machines with ACPI an ACPI_DEVICE_OST that \
            answers an eject request with anything but success or \"in progress\". And no DEVICE_DELETED since.",
        meaning: "The guest was asked to give a device back (`device_del`) and refused, or failed to: it is still in use. Where a \
            platform gives the guest no way to say no, a refusal is silence.",
        next: &[
            say("Free the device inside the guest (unmount it, take the memory offline)"),
            run(
                "Then ask again",
                "qwatch execute {monitor} device_del id={device}",
            ),
        ],
        source: "QEMU's documentation of DEVICE_UNPLUG_GUEST_ERROR and ACPI_DEVICE_OST",
        ..NONE
    },
    Rule {
        id: RuleId::ImageCorrupted,
        title: "disk image corrupt",
        recognised: "BLOCK_IMAGE_CORRUPTED.",
        meaning: "QEMU found the image's own bookkeeping damaged. If the event says `fatal`, every later request to it fails.",
        next: &[
            say("Stop the machine, copy the image, then repair the copy"),
            run("With QEMU not using it", "qemu-img check -r all {file}"),
        ],
        source: "QEMU's documentation of BLOCK_IMAGE_CORRUPTED",
        ..NONE
    },
    Rule {
        id: RuleId::MemoryFailure,
        title: "hardware memory error",
        recognised: "MEMORY_FAILURE.",
        meaning: "The host found an error in memory of this machine. More may come.",
        next: &[say(
            "Move the machine away; the host's kernel log names the module",
        )],
        source: "QEMU's documentation of MEMORY_FAILURE",
        ..NONE
    },
    Rule {
        id: RuleId::MigrationFailed,
        title: "migration failed",
        recognised: "MIGRATION `failed` as the last of its phases; or `query-migrate` says `failed`.",
        meaning: "The machine was to be moved and was not. On its source it normally goes on there.",
        next: &[run(
            "Ask for the error",
            "qwatch execute {monitor} query-migrate",
        )],
        source: "QEMU's documentation of MIGRATION",
        ..NONE
    },
    Rule {
        id: RuleId::PostcopyPaused,
        title: "postcopy migration interrupted",
        recognised: "MIGRATION `postcopy-paused`.",
        meaning: "The connection between the two QEMUs broke while the guest's memory was on both sides. Neither side alone has \
            all of it: end neither.",
        next: &[say(
            "Mend the network, then resume the migration (`migrate` with `resume`, `migrate-recover` on the other side)",
        )],
        source: "QEMU's documentation of MIGRATION",
        ..NONE
    },
    Rule {
        id: RuleId::PanicRun,
        title: "the guest panicked and went on",
        recognised: "GUEST_PANICKED with action `run`, or GUEST_CRASHLOADED; and no RESET since.",
        meaning: "The guest's kernel panicked, and QEMU leaves it to the guest what to do (`-action panic=none`), or a crash \
            kernel took over to save a dump.",
        next: &[say(
            "Expect a reset; if there is none, the guest hangs: look at its console",
        )],
        source: "QEMU's documentation of GUEST_PANICKED and GUEST_CRASHLOADED",
        ..NONE
    },
];
