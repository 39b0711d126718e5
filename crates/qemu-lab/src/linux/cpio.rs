//! Writes the archive a Linux kernel takes its first files from: cpio's `newc` format.

/// An archive that grows in memory.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

/// What an entry is, and its permissions, as `stat` has them.
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const TERMINAL: u32 = 0o020_600;

impl Archive {
    /// A folder; its parent has to be there.
    pub(super) fn folder(self, name: &str) -> Archive {
        self.entry(name, FOLDER, (0, 0), &[])
    }

    /// A file that may be run.
    pub(super) fn file(self, name: &str, content: &[u8]) -> Archive {
        self.entry(name, PROGRAM, (0, 0), content)
    }

    /// A character device by its two numbers.
    pub(super) fn terminal(self, name: &str, device: (u32, u32)) -> Archive {
        self.entry(name, TERMINAL, device, &[])
    }

    /// The finished archive.
    pub(super) fn finish(self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]).bytes
    }

    fn entry(mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Archive {
        self.entries += 1;
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let fields = [
            self.entries,           // inode
            mode,                   //
            0,                      // owner
            0,                      // group
            1,                      // links
            0,                      // time of change
            length(content.len()),  //
            0,                      // device it is on
            0,                      //
            device.0,               // device it is
            device.1,               //
            length(name.len() + 1), // with a zero byte at the end
            0,                      // checksum, unused in this format
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
        self
    }

    fn align(&mut self) {
        let aligned = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(aligned, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As GNU cpio 2.13 writes a folder and a file of three bytes, but for its times and owners.
    #[test]
    fn entries_are_aligned_and_counted() {
        let archive = Archive::default().folder("bin").file("bin/sh", b"abc");
        let bytes = archive.finish();
        let text = String::from_utf8(bytes).expect("ASCII");
        let (folder, rest) = text.split_at(110 + 4 + 2);
        assert!(folder.starts_with("070701" /* inode */) && folder.ends_with("bin\0\0\0"));
        let (file, trailer) = rest.split_at(110 + 7 + 3 + 4);
        assert_eq!(&file[14..22], "000081ed");
        assert_eq!(&file[54..62], "00000003");
        assert_eq!(&file[94..102], "00000007");
        assert!(file.ends_with("bin/sh\0\0\0\0abc\0"), "{file:?}");
        assert!(trailer.contains("TRAILER!!!\0"));
        assert_eq!(text.len() % 4, 0);
    }
}
