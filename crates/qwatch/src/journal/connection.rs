//! Connections that may outlive their recorder, and what the next one must know of them.
//!
//! An attachment commits records together with a [`Chunk`]: the bytes at the head of its socket that they
//! were made of. Only then it reads those bytes off the socket. If it is killed in between and the service
//! manager keeps the socket, the next recorder finds the connection here, compares the head of the socket
//! with the chunk, and knows what is in the journal already.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{RunId, RunInfo};

/// What a connection is called, in the journal and where its descriptor is kept. Random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(i64);

/// Bytes at the head of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// How many.
    pub length: u64,
    /// Their hash, seeded with the number of the connection.
    pub hash: u64,
}

/// What a recorder still has in mind about a connection, for the next one to go on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The reason of the last SHUTDOWN that nothing followed; empty if it gave none.
    pub shutdown: Option<String>,
    /// A `state` record is still to be written; what for: nothing for an attachment, or the name of the
    /// event that makes it worth asking.
    pub asking: Option<String>,
    /// What was read off the socket of a message that is not whole yet.
    pub partial: Option<Vec<u8>>,
}

/// A connection whose machine is known and whose run is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// What it is called.
    pub id: ConnectionId,
    /// The name the machine claimed; the run's may differ, to tell two of one name apart.
    pub claimed: String,
    /// What QEMU said first, its `QMP` member as JSON.
    pub greeting: String,
    /// Out-of-band commands were negotiated.
    pub oob: bool,
    /// QEMU dialled us.
    pub dialled_in: bool,
    /// What is to be gone on with.
    pub memory: Memory,
}

/// What a batch says of its connection, in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is known from now on. `chunk` is what stands at the head of its socket and is done with.
    Begin {
        /// All about it.
        connected: Box<Connected>,
        /// What was heard of it so far.
        chunk: Chunk,
    },
    /// It goes on.
    Chunk {
        /// Which.
        id: ConnectionId,
        /// What the records of the batch were made of; `None` if of no bytes.
        chunk: Option<Chunk>,
        /// What is to be gone on with, if that has changed.
        memory: Option<Memory>,
    },
    /// It is over.
    End(ConnectionId),
}

/// A connection that an earlier recorder had, and whose descriptor was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptConnection {
    /// All about it.
    pub connected: Connected,
    /// The run it is recorded under.
    pub run: RunId,
    /// The machine and its QEMU, as it was when attached to.
    pub info: RunInfo,
    /// The last chunk that was committed.
    pub chunk: Chunk,
}

impl ConnectionId {
    /// A new one.
    pub fn random() -> Self {
        // The standard library's keys for hash maps are random; it has no other way to ask for a number.
        Self((RandomState::new().hash_one(0) >> 1).cast_signed())
    }

    /// As it was printed.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = i64::from_str_radix(text, 16).ok().filter(|_| hex);
        number.map(Self)
    }

    /// The number.
    pub fn number(self) -> u64 {
        self.0.cast_unsigned()
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for ConnectionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// Carries a mark out.
pub(super) fn mark(tx: &Transaction<'_>, run: RunId, mark: &Mark) -> rusqlite::Result<()> {
    match mark {
        Mark::Begin { connected, chunk } => {
            insert(tx, run, connected)?;
            set_chunk(tx, connected.id, *chunk)
        }
        Mark::Chunk { id, chunk, memory } => {
            if let Some(memory) = memory {
                tx.prepare_cached(
                    "UPDATE connection SET shutdown = ?2, asking = ?3, partial = ?4 WHERE id = ?1",
                )?
                .execute(params![
                    id.0,
                    memory.shutdown,
                    memory.asking,
                    memory.partial
                ])?;
            }
            match chunk {
                Some(chunk) => set_chunk(tx, *id, *chunk),
                None => Ok(()),
            }
        }
        Mark::End(id) => forget(tx, *id),
    }
}

fn insert(tx: &Transaction<'_>, run: RunId, connected: &Connected) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO connection(id, run, claimed, greeting, oob, dialled_in, shutdown, asking, partial) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        connected.id.0,
        run.0,
        connected.claimed,
        connected.greeting,
        connected.oob,
        connected.dialled_in,
        connected.memory.shutdown,
        connected.memory.asking,
        connected.memory.partial
    ])?;
    Ok(())
}

fn set_chunk(tx: &Transaction<'_>, id: ConnectionId, chunk: Chunk) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO chunk(connection, length, hash) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![
        id.0,
        chunk.length.cast_signed(),
        chunk.hash.cast_signed()
    ])?;
    Ok(())
}

fn forget(conn: &Connection, id: ConnectionId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM chunk WHERE connection = ?1")?
        .execute([id.0])?;
    conn.prepare_cached("DELETE FROM connection WHERE id = ?1")?
        .execute([id.0])?;
    Ok(())
}

/// The connections whose descriptors were handed over and whose runs are open. All others are forgotten:
/// their sockets are closed.
pub(super) fn load(
    conn: &mut Connection,
    handed_over: &[ConnectionId],
) -> rusqlite::Result<Vec<KeptConnection>> {
    let tx = conn.transaction()?;
    let known: Vec<ConnectionId> = tx
        .prepare("SELECT id FROM connection UNION SELECT connection FROM chunk")?
        .query_map([], |row| Ok(ConnectionId(row.get(0)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let handed_over: HashSet<&ConnectionId> = handed_over.iter().collect();
    let mut kept = Vec::new();
    for id in known {
        let found = match handed_over.contains(&id) {
            true => load_one(&tx, id)?,
            false => None,
        };
        match found {
            Some(found) => kept.push(found),
            None => forget(&tx, id)?,
        }
    }
    tx.commit()?;
    Ok(kept)
}

fn load_one(conn: &Connection, id: ConnectionId) -> rusqlite::Result<Option<KeptConnection>> {
    conn.prepare_cached(
        "SELECT c.claimed, c.greeting, c.oob, c.dialled_in, c.shutdown, c.asking, r.id, m.name, r.uuid, \
         r.pid, r.started, r.version, r.package, r.address, r.attached, k.length, k.hash, c.partial \
         FROM connection c JOIN run r ON r.id = c.run JOIN machine m ON m.id = r.machine \
         JOIN chunk k ON k.connection = c.id WHERE c.id = ?1 AND r.detached IS NULL",
    )?
    .query_row([id.0], |row| {
        Ok(KeptConnection {
            connected: Connected {
                id,
                claimed: row.get(0)?,
                greeting: row.get(1)?,
                oob: row.get(2)?,
                dialled_in: row.get(3)?,
                memory: Memory {
                    shutdown: row.get(4)?,
                    asking: row.get(5)?,
                    partial: row.get(17)?,
                },
            },
            run: RunId(row.get(6)?),
            info: RunInfo {
                machine: row.get(7)?,
                uuid: row.get(8)?,
                pid: row.get(9)?,
                started_us: row.get(10)?,
                version: row.get(11)?,
                package: row.get(12)?,
                address: row.get(13)?,
                attached_us: row.get(14)?,
            },
            chunk: Chunk {
                length: row.get::<_, i64>(15)?.cast_unsigned(),
                hash: row.get::<_, i64>(16)?.cast_unsigned(),
            },
        })
    })
    .optional()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::journal::{Batch, Entry, Journal, Note, Query, Reader, RunEnd, Settings, Writer};

    fn connected(id: ConnectionId) -> Connected {
        Connected {
            id,
            claimed: "web".to_owned(),
            greeting: "{}".to_owned(),
            oob: false,
            dialled_in: true,
            memory: Memory::default(),
        }
    }

    /// A run with a connection of which a chunk of so many bytes was heard.
    async fn begin(writer: &Writer, machine: &str, length: u64) -> (RunId, ConnectionId) {
        let info = RunInfo {
            machine: machine.to_owned(),
            address: "/run/q.sock".to_owned(),
            ..RunInfo::default()
        };
        let run = writer.open_run(info).await.expect("a run").run;
        let id = ConnectionId::random();
        let mark = Mark::Begin {
            connected: Box::new(connected(id)),
            chunk: Chunk { length, hash: 7 },
        };
        append(writer, run, None, mark).await;
        (run, id)
    }

    async fn append(writer: &Writer, run: RunId, end: Option<RunEnd>, mark: Mark) {
        let batch = Batch {
            run,
            entries: vec![Entry::note(Note::Attached, "{}".to_owned(), 1)],
            end,
        };
        let receipt = writer.append_marked(batch, Some(mark)).await.expect("room");
        receipt.committed().await.expect("committed");
    }

    #[tokio::test]
    async fn what_is_handed_over_goes_on_and_the_rest_is_forgotten() {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("j.db");
        let journal = Journal::open(&path, &Settings::default()).expect("a journal");
        let writer = journal.writer();
        let (run, kept) = begin(&writer, "web", 100).await;
        let (_, lost) = begin(&writer, "db", 5).await;
        let (ended_run, ended) = begin(&writer, "mail", 5).await;
        let end = RunEnd {
            detached_us: 1,
            ended: None,
        };
        append(&writer, ended_run, Some(end), Mark::End(ended)).await;
        let memory = Memory {
            shutdown: Some("guest-shutdown".to_owned()),
            asking: None,
            partial: Some(b"{\"event".to_vec()),
        };
        let chunk = Chunk {
            length: 80,
            hash: u64::MAX,
        };
        let mark = Mark::Chunk {
            id: kept,
            chunk: Some(chunk),
            memory: Some(memory.clone()),
        };
        append(&writer, run, None, mark).await;
        drop(writer);
        journal.close().await.expect("closed");

        let settings = Settings::default().handed_over(vec![kept, ended, ConnectionId::random()]);
        let mut journal = Journal::open(&path, &settings).expect("opened");
        let found = journal.take_kept();
        let expected = Connected {
            memory,
            ..connected(kept)
        };
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].run, &found[0].connected), (run, &expected));
        assert_eq!((found[0].chunk, &*found[0].info.machine), (chunk, "web"));
        journal.close().await.expect("closed");
        // Nobody said goodbye to the one whose descriptor was not kept.
        let reader = Reader::open(&path).expect("a reader");
        let records = reader.records(&Query::default()).expect("a query");
        let machines: Vec<_> = records
            .map(|record| record.expect("readable"))
            .map(|record| (record.machine, record.name))
            .filter(|(_, name)| name == "detached")
            .collect();
        assert_eq!(machines, [("db".to_owned(), "detached".to_owned())]);

        let settings = Settings::default().handed_over(vec![kept, lost]);
        let mut journal = Journal::open(&path, &settings).expect("opened");
        assert_eq!(journal.take_kept(), found, "until its end, however often");
    }

    /// A recorder that is killed between the opening of a run and its first records has read nothing.
    #[tokio::test]
    async fn a_run_of_which_nothing_was_recorded_is_told_no_goodbye() {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("j.db");
        let info = |machine: &str| RunInfo {
            machine: machine.to_owned(),
            pid: Some(7),
            started_us: Some(1),
            ..RunInfo::default()
        };
        let journal = Journal::open(&path, &Settings::default()).expect("a journal");
        let writer = journal.writer();
        let known = writer.open_run(info("known")).await.expect("a run").run;
        let end = RunEnd {
            detached_us: 5,
            ended: None,
        };
        let batch = Batch {
            run: known,
            entries: vec![Entry::note(Note::Detached, "{}".to_owned(), 5)],
            end: Some(end),
        };
        writer.append(batch).await.expect("room");
        for machine in ["known", "new"] {
            writer.open_run(info(machine)).await.expect("a run");
        }
        drop(writer);
        journal.close().await.expect("closed");

        let journal = Journal::open(&path, &Settings::default()).expect("opened");
        let writer = journal.writer();
        let opened = writer.open_run(info("known")).await.expect("a run");
        assert_eq!((opened.run, opened.heard_until_us), (known, Some(5)));
        let opened = writer.open_run(info("new")).await.expect("a run");
        assert_eq!(opened.heard_until_us, None);
        drop(writer);
        journal.close().await.expect("closed");
        let reader = Reader::open(&path).expect("a reader");
        assert_eq!(reader.last_seq().expect("readable"), 1, "no second goodbye");
    }

    #[test]
    fn numbers_of_connections_are_printed_and_read() {
        let ids: HashSet<ConnectionId> = (0..1000).map(|_| ConnectionId::random()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert_eq!(ConnectionId::parse(&id.to_string()), Some(id));
        }
        for text in [
            "",
            "1",
            "+000000000000001",
            "8000000000000000",
            "000000000000000g",
            "00000000000000001",
        ] {
            assert_eq!(ConnectionId::parse(text), None, "{text}");
        }
    }
}
