//! SQLite's write-ahead log, looked at from outside: how much of it counts, and what a tear has cut off.
//!
//! The log is a header of 32 bytes and frames: 24 bytes and a page. A frame counts if its salts are those
//! of the header and its checksum continues that of the frame before; at the first that does not, SQLite
//! stops reading without a word. Behind the end of a log that was written to its end there are frames of
//! an earlier round with other salts, or nothing. Frames behind the first bad one that have the *same* salts
//! and close a transaction were committed once: then the log is torn.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Checksums are over little-endian words; one more than this says big-endian.
const MAGIC: u32 = 0x377f_0682;

/// What a look at a log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Frames that belong to this round of the log and count.
    pub frames: u64,
    /// Frames of this round behind a tear, up to the last that closes a transaction: SQLite passes them over.
    pub frames_behind_tear: u64,
    /// The header itself cannot be read, so that none of the log counts.
    pub headless: bool,
}

impl Log {
    /// Looks at the log; `None` if there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn look(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) if file.metadata()?.len() > 0 => walk(&file, &mut |_, _| Ok(())).map(Some),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether committed transactions in it are passed over.
    pub fn is_torn(&self) -> bool {
        self.frames_behind_tear > 0 || self.headless
    }
}

/// Writes checksums that are right into every frame of this round, so that SQLite reads all of them.
/// What is wrong in a page stays wrong, but costs only that page. Only ever done to a copy.
pub(super) fn join(path: &Path) -> io::Result<Log> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    walk(&file, &mut |at, header| file.write_all_at(header, at))
}

/// Goes through the frames. `mend` gets the offset and the header of each frame behind the first bad one,
/// with the checksum it ought to have.
fn walk(file: &File, mend: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<Log> {
    let mut reader = io::BufReader::with_capacity(1 << 20, file);
    let mut header = [0; HEADER_BYTES];
    if !read_whole(&mut reader, &mut header)? {
        return Ok(Log {
            headless: true,
            ..Log::default()
        });
    }
    let magic = big(&header, 0);
    let page_bytes = big(&header, 8) as usize;
    let mut sum = Sum {
        big_endian: magic == MAGIC + 1,
        state: (0, 0),
    };
    sum.add(&header[..24]);
    let good = (magic & !1) == MAGIC
        && (512..=65536).contains(&page_bytes)
        && page_bytes.is_power_of_two()
        && sum.state == (big(&header, 24), big(&header, 28));
    if !good {
        return Ok(Log {
            headless: true,
            ..Log::default()
        });
    }
    let mut log = Log::default();
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    let mut at = HEADER_BYTES as u64;
    let (mut index, mut torn) = (0_u64, None);
    while read_whole(&mut reader, &mut frame)? {
        if frame[8..16] != header[16..24] {
            break;
        }
        index += 1;
        sum.add(&frame[..8]);
        sum.add(&frame[FRAME_HEADER_BYTES..]);
        let stored = (big(&frame, 16), big(&frame, 20));
        if torn.is_none() && stored != sum.state {
            torn = Some(index - 1);
        }
        if torn.is_some() {
            frame[16..20].copy_from_slice(&sum.state.0.to_be_bytes());
            frame[20..24].copy_from_slice(&sum.state.1.to_be_bytes());
            mend(at, &frame[..FRAME_HEADER_BYTES])?;
            // Closes a transaction: it was committed.
            if big(&frame, 4) != 0 {
                log.frames_behind_tear = index - torn.unwrap_or(0);
            }
        }
        at += frame.len() as u64;
    }
    log.frames = torn.unwrap_or(index);
    Ok(log)
}

/// False if the file ends before the buffer is full.
fn read_whole(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn big(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

/// The checksum of the log: two sums over pairs of words, each taking the other in.
struct Sum {
    big_endian: bool,
    state: (u32, u32),
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let (mut one, mut two) = self.state;
        for pair in bytes.chunks_exact(8) {
            let word = |at: usize| {
                let word = big(pair, at);
                if self.big_endian {
                    word
                } else {
                    word.swap_bytes()
                }
            };
            one = one.wrapping_add(word(0)).wrapping_add(two);
            two = two.wrapping_add(word(4)).wrapping_add(one);
        }
        self.state = (one, two);
    }
}
