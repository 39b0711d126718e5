//! Disks: failed requests, damaged images, thresholds, quorum, exports, reservations.

use crate::Str;

open_enum! {
    /// Direction of a disk request.
    IoOperationType {
        /// Reading.
        Read "read";
        /// Writing; a flush counts as one.
        Write "write";
    }
}

open_enum! {
    /// What QEMU does about a failed disk request (`rerror=`, `werror=`, `on-source-error`, ...).
    BlockErrorAction {
        /// The error is ignored. In a block job: the job goes on and may fail later.
        Ignore "ignore";
        /// The error is passed on to the guest. In a block job: the job ends with that error.
        Report "report";
        /// The machine stops until `cont`. In a block job: the job pauses until `block-job-resume`,
        /// the machine runs on.
        Stop "stop";
    }
}

open_enum! {
    /// Kind of a request to a quorum.
    QuorumOpType {
        /// Reading.
        Read "read";
        /// Writing.
        Write "write";
        /// Flushing the children's caches to stable storage.
        Flush "flush";
    }
}

event! {
    /// A disk request of the guest failed.
    ///
    /// With action `stop` the machine stops and STOP follows; the request is kept and tried again
    /// by `cont`, so free some space or mend the storage first. With `report` the guest sees an I/O
    /// error; with `ignore` it sees success, and the data is lost.
    ///
    /// Errors and STOPs do not pair one to one: several requests may fail before one STOP. In 9.2
    /// to 10.2 at most one event a second goes out per device: that of a repeated error arrives
    /// after its STOP with an older stamp, or not at all. Since 11.0 those with action `stop` go
    /// out at once again; `report` and `ignore` stay limited. `query-block` keeps an `io-status`
    /// that tells what no event told.
    BLOCK_IO_ERROR, since 0.13,
        seed "Omits `nospace` and `reason`, both sent since 2.2. `node-name` came with 2.8, \
            `qom-path` and the rate limit with 9.2.",
        limited [9.2 per "qom-path"] [11.0 per "qom-path" except "action" "stop"];
    BlockIoError<'a> {
        /// QOM path of the guest's disk device; "" if no device is attached (an export, say).
        qom_path "qom-path": Str<'a>, since 9.2;
        /// Name of the legacy drive (`-drive id=`); "" for disks made with `-blockdev`.
        device "device": Str<'a>;
        /// Node that saw the error: often the top of the chain, not the one that failed. Absent
        /// when the drive has no medium. Generated names look like `#block123`.
        node_name "node-name": Str<'a>, optional, since 2.8;
        /// Whether the guest was reading or writing (or flushing).
        operation "operation": IoOperationType;
        /// What QEMU does about it.
        action "action": BlockErrorAction;
        /// True if the storage is full. Absent if the device's error policy can never stop the
        /// machine, even when the storage is full.
        nospace "nospace": bool, optional, since 2.2;
        /// The error as the operating system words it. For people: do not compare it.
        reason "reason": Str<'a>, since 2.2;
    }
}

event! {
    /// QEMU found a disk image corrupt.
    ///
    /// Reported once per image and run. If `fatal`, later requests fail until the image is repaired
    /// (`qemu-img check -r`) with QEMU not using it.
    BLOCK_IMAGE_CORRUPTED, since 1.7,
        seed "Omits `fatal`, sent since 2.2.";
    BlockImageCorrupted<'a> {
        /// Name of the legacy drive (`-drive id=`); "" for disks made with `-blockdev`.
        device "device": Str<'a>;
        /// Node of the image.
        node_name "node-name": Str<'a>, optional, since 2.4;
        /// What was found, in words.
        msg "msg": Str<'a>;
        /// Where in the image the access went that revealed it, in bytes.
        offset "offset": i64, optional;
        /// How long that access was, in bytes.
        size "size": i64, optional;
        /// True if the image was marked corrupt and cannot be used any more; false if it is only
        /// read, so that reading may go on.
        fatal "fatal": bool, since 2.2;
    }
}

event! {
    /// The guest wrote beyond the mark set on a disk: a thin volume should be grown now.
    ///
    /// Fires once and removes the mark; set the next one with `block-set-write-threshold`. After
    /// starting to listen, ask `query-named-block-nodes` whether `write_threshold` is still set.
    BLOCK_WRITE_THRESHOLD, since 2.3, latched "block-set-write-threshold";
    BlockWriteThreshold<'a> {
        /// Node the mark was set on.
        node_name "node-name": Str<'a>;
        /// How far beyond the mark the write reached, in bytes.
        amount_exceeded "amount-exceeded": u64;
        /// The mark: offset in the node, in bytes.
        write_threshold "write-threshold": u64;
    }
}

event! {
    /// An export of a disk (NBD, vhost-user-blk, FUSE, ...) is gone and its id may be reused.
    ///
    /// The last step of `block-export-del`, after all its clients are gone; also when an export
    /// ends by itself.
    BLOCK_EXPORT_DELETED, since 5.2;
    BlockExportDeleted<'a> {
        /// Id of the export.
        id "id": Str<'a>;
    }
}

event! {
    /// A quorum could not agree: too many of its children failed or differ, and the request failed.
    ///
    /// What the guest sees is a failed request, so BLOCK_IO_ERROR usually comes along. At most one
    /// a second goes out for all quorums together: another quorum's failure may be the one that got
    /// lost, and this may arrive after the BLOCK_IO_ERROR that it caused.
    QUORUM_FAILURE, since 2.0,
        seed "Speaks of reads only: a write that too many children refuse gives it too.",
        limited [2.0];
    QuorumFailure<'a> {
        /// The quorum: name of its legacy drive if it has one, else its node name.
        reference "reference": Str<'a>;
        /// First sector of the request, in sectors of 512 bytes.
        sector_num "sector-num": i64;
        /// Length of the request, in sectors of 512 bytes.
        sectors_count "sectors-count": i64;
    }
}

event! {
    /// A child of a quorum failed or holds other data than the majority.
    ///
    /// The request itself may still succeed by the votes of the others; if not, QUORUM_FAILURE
    /// follows. At most one a second goes out per child (before 2.6: for all children together).
    QUORUM_REPORT_BAD, since 2.0,
        seed "Speaks of reads only and has no `type` (2.6). The rate limit is per `node-name` \
            since 2.6.",
        limited [2.0] [2.6 per "node-name"];
    QuorumReportBad<'a> {
        /// What was being done.
        r#type "type": QuorumOpType, since 2.6;
        /// The child's error, in words; absent if the child answered, but with other data.
        error "error": Str<'a>, optional;
        /// Node of the child.
        node_name "node-name": Str<'a>;
        /// First sector of the request, in sectors of 512 bytes; 0 for a flush.
        sector_num "sector-num": i64;
        /// Length of the request, in sectors of 512 bytes; 0 for a flush.
        sectors_count "sectors-count": i64;
    }
}

event! {
    /// QEMU lost or regained its helper for SCSI persistent reservations.
    ///
    /// While it is lost, reservation commands of the guest fail or wait for the next attempt to
    /// reconnect; a cluster inside the guest may lose its quorum disk. `query-pr-managers` tells
    /// the present state.
    PR_MANAGER_STATUS_CHANGED, since 3.0;
    PrManagerStatusChanged<'a> {
        /// Id of the `pr-manager-helper` object.
        id "id": Str<'a>;
        /// True if connected now.
        connected "connected": bool;
    }
}
