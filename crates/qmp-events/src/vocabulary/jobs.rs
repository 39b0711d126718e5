//! Long work on disks: the events of block jobs, and of jobs in general.
//!
//! Since 3.0 every transition of every job gives a JOB_STATUS_CHANGE; the BLOCK_JOB_* events of
//! block jobs come in addition.

use super::block::{BlockErrorAction, IoOperationType};
use crate::Str;

open_enum! {
    /// What a job does.
    JobType {
        /// Moves data down: the changes of an overlay into the image below (`block-commit`).
        Commit "commit";
        /// Moves data up: from the images below into the overlay (`block-stream`).
        Stream "stream";
        /// Copies a disk to another and keeps both equal until told to finish (`blockdev-mirror`).
        Mirror "mirror";
        /// Copies a disk as it was at the start (`blockdev-backup`).
        Backup "backup";
        /// Creates an image (`blockdev-create`).
        Create "create", since 3.0;
        /// Changes options of an image (`x-blockdev-amend`).
        Amend "amend", since 5.1;
        /// Loads an internal snapshot of the whole machine.
        SnapshotLoad "snapshot-load", since 6.0;
        /// Saves an internal snapshot of the whole machine.
        SnapshotSave "snapshot-save", since 6.0;
        /// Deletes an internal snapshot of the whole machine.
        SnapshotDelete "snapshot-delete", since 6.0;
    }
}

open_enum! {
    /// Where a job stands.
    JobStatus {
        /// Not set up yet. Not seen in an event.
        Undefined "undefined";
        /// It exists, but has not begun.
        Created "created";
        /// It works.
        Running "running";
        /// It was paused, by a client or by an error whose policy is `stop`.
        Paused "paused";
        /// It has caught up and waits to be completed, still copying what the guest writes.
        Ready "ready";
        /// It was ready and is paused.
        Standby "standby";
        /// It is done and waits for the other jobs of its transaction.
        Waiting "waiting";
        /// It is done and waits for `job-finalize`, because it was started without auto-finalize.
        Pending "pending";
        /// It failed or was cancelled and is cleaning up.
        Aborting "aborting";
        /// It has ended, well or not. Ask `query-jobs` for its error while it still exists.
        Concluded "concluded";
        /// It is gone and its id is free.
        Null "null";
    }
}

event! {
    /// A job went from one state to another.
    ///
    /// Covers all jobs, block jobs and others, from `created` to `null`, but does not say how a job
    /// ended: `aborting` on the way means failed or cancelled, and `query-jobs` has the error only
    /// until the job is dismissed. Jobs dismiss themselves unless told otherwise: then `concluded`
    /// and `null` come back to back and the error is gone. For block jobs BLOCK_JOB_COMPLETED has
    /// it.
    JOB_STATUS_CHANGE, since 3.0;
    JobStatusChange<'a> {
        /// Id of the job.
        id "id": Str<'a>;
        /// The state it is in now.
        status "status": JobStatus;
    }
}

event! {
    /// A block job met a disk error.
    ///
    /// The job's own policy (`on-source-error`, `on-target-error`, ...) decides; here `stop` pauses
    /// the job, not the machine. A job that was ready is not ready any more: BLOCK_JOB_READY comes
    /// again when it has caught up.
    BLOCK_JOB_ERROR, since 1.3,
        seed "Calls `device` a device name: since 2.7 it is the job's id.";
    BlockJobError<'a> {
        /// Id of the job (before 2.7: name of the drive).
        device "device": Str<'a>;
        /// Whether it was reading (its source) or writing (its target).
        operation "operation": IoOperationType;
        /// What the job does about it.
        action "action": BlockErrorAction;
    }
}

event! {
    /// A block job has caught up and may be completed: source and target are equal and stay so.
    ///
    /// Mirrors and commits of an active layer get here and then wait for `block-job-complete`
    /// (switch to the copy) or `block-job-cancel` (keep the original).
    BLOCK_JOB_READY, since 1.3,
        seed "Its example lacks a comma. Names the types `stream` and `commit` only, though \
            `mirror` and `backup` existed. Since 2.7 `device` is the job's id.";
    BlockJobReady<'a> {
        /// What the job does.
        r#type "type": JobType;
        /// Id of the job (before 2.7: name of the drive).
        device "device": Str<'a>;
        /// Work to do, in bytes. Grows while the guest writes.
        len "len": i64;
        /// Work done, in bytes.
        offset "offset": i64;
        /// Speed limit in bytes per second; 0 is none.
        speed "speed": i64;
    }
}

event! {
    /// A block job is done and waits for `job-finalize` before it changes anything for good.
    ///
    /// Only for jobs that were started with `auto-finalize` off.
    BLOCK_JOB_PENDING, since 2.12;
    BlockJobPending<'a> {
        /// What the job does.
        r#type "type": JobType;
        /// Id of the job.
        id "id": Str<'a>;
    }
}

event! {
    /// A block job ended by itself: well, or with an error.
    ///
    /// `error` decides which: a job that failed gives this event too. A ready mirror that was
    /// cancelled without `force` gives it as well, as that is a regular way to end.
    BLOCK_JOB_COMPLETED, since 1.1,
        seed "Names the types `stream` and `commit` only, though `mirror` and `backup` existed. \
            Since 2.7 `device` is the job's id.";
    BlockJobCompleted<'a> {
        /// What the job did.
        r#type "type": JobType;
        /// Id of the job (before 2.7: name of the drive).
        device "device": Str<'a>;
        /// Work to do, in bytes.
        len "len": i64;
        /// Work done, in bytes: `len` after success (both may be 0), less after a failure.
        offset "offset": i64;
        /// Speed limit in bytes per second; 0 is none.
        speed "speed": i64;
        /// Why it failed, in words for people; absent after success.
        error "error": Str<'a>, optional;
    }
}

event! {
    /// A block job was cancelled.
    ///
    /// By `block-job-cancel`, or because QEMU is exiting. The target of a cancelled backup or of a
    /// mirror that was not ready is incomplete: do not use it.
    BLOCK_JOB_CANCELLED, since 1.1,
        seed "Names the types `stream` and `commit` only, though `mirror` and `backup` existed. \
            Since 2.7 `device` is the job's id.";
    BlockJobCancelled<'a> {
        /// What the job did.
        r#type "type": JobType;
        /// Id of the job (before 2.7: name of the drive).
        device "device": Str<'a>;
        /// Work to do, in bytes.
        len "len": i64;
        /// Work done until then, in bytes.
        offset "offset": i64;
        /// Speed limit in bytes per second; 0 is none.
        speed "speed": i64;
    }
}
