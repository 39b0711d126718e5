//! QEMU's own doings: memory dumps and the monitor itself.

use crate::{RawJson, Str};

open_enum! {
    /// State of a memory dump.
    DumpStatus {
        /// There is none.
        None "none";
        /// It is being written.
        Active "active";
        /// It is complete.
        Completed "completed";
        /// It failed; the file is of no use.
        Failed "failed";
    }
}

open_enum! {
    /// Why a command was not executed.
    CommandDropReason {
        /// The client sent more commands than the monitor queues.
        QueueFull "queue-full";
    }
}

object! {
    /// How far a memory dump got.
    DumpQueryResult {
        /// State of the dump.
        status "status": DumpStatus;
        /// Bytes written, uncompressed.
        completed "completed": i64;
        /// Bytes to write, uncompressed.
        total "total": i64;
    }
}

event! {
    /// A dump of the guest's memory has ended, well or not.
    ///
    /// With `detach` the reply to `dump-guest-memory` comes at once, and this event is the only
    /// word on the result. A running machine is stopped meanwhile: STOP before, RESUME after.
    DUMP_COMPLETED, since 2.6;
    DumpCompleted<'a> {
        /// How far it got.
        result "result": DumpQueryResult;
        /// Why it failed, in words; absent after success.
        error "error": Str<'a>, optional;
    }
}

event! {
    /// The monitor dropped a command of its client, because too many were waiting.
    ///
    /// Only from monitors with out-of-band execution on, in 2.12 to 3.1. Later ones stop reading
    /// instead.
    COMMAND_DROPPED, since 2.12, removed 4.0;
    CommandDropped {
        /// The `id` of that command, whatever JSON value the client gave.
        id "id": RawJson;
        /// Why it was dropped.
        reason "reason": CommandDropReason;
    }
}
