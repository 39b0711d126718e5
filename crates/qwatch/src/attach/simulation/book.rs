//! Journals of the simulation: one in memory, and the real one.

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::journal::{
    Batch, Chunk, Connected, ConnectionId, Entry, Journal, KeptConnection, Mark, Note, Query,
    Reader, RunId, RunInfo, Settings,
};

/// Takes records and marks, and gives them back.
pub(super) trait Book {
    /// All or nothing.
    fn commit(&mut self, entries: Vec<Entry>, mark: Mark);
    /// What a new process is told of the connection it was handed.
    fn recover(&mut self, id: ConnectionId) -> Option<KeptConnection>;
    /// Everything, in order.
    fn read(&mut self) -> Vec<Written>;
}

/// A record, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Number(u64),
    /// With the number of events in it, if it says.
    Gap(Option<u64>),
    Attached,
    State,
    Garbage(String),
}

impl Written {
    fn of(note: Option<&str>, data: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(data).expect("JSON");
        Some(match note {
            None => Self::Number(value["n"].as_u64().expect("a number")),
            Some("gap") => Self::Gap(value["count"].as_u64()),
            Some("attached") => Self::Attached,
            Some("state") => Self::State,
            Some("garbage") => Self::Garbage(data.to_owned()),
            Some(_) => return None,
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct MemoryBook {
    written: Vec<Written>,
    connected: Option<(Connected, Chunk)>,
}

impl Book for MemoryBook {
    fn commit(&mut self, entries: Vec<Entry>, mark: Mark) {
        for entry in entries {
            let note = Note::ALL.into_iter().find(|note| entry.is_note(*note));
            let written = Written::of(note.map(Note::name), entry.data().expect("data"));
            self.written.extend(written);
        }
        match mark {
            Mark::Begin { connected, chunk } => self.connected = Some((*connected, chunk)),
            Mark::Chunk { id, chunk, memory } => {
                let (connected, last) = self.connected.as_mut().expect("a connection");
                assert_eq!(connected.id, id);
                *last = chunk.unwrap_or(*last);
                connected.memory = memory.unwrap_or_else(|| connected.memory.clone());
            }
            Mark::End(_) => self.connected = None,
        }
    }

    fn recover(&mut self, id: ConnectionId) -> Option<KeptConnection> {
        let (connected, chunk) = self.connected.clone()?;
        (connected.id == id).then(|| KeptConnection {
            connected,
            run: RunId::of(1),
            info: RunInfo::default(),
            chunk,
        })
    }

    fn read(&mut self) -> Vec<Written> {
        self.written.clone()
    }
}

/// The real one, in a temporary file.
pub(super) struct JournalBook {
    dir: TempDir,
    runtime: Runtime,
    open: Option<(Journal, RunId)>,
}

impl JournalBook {
    pub(super) fn new() -> Self {
        Self {
            dir: TempDir::new().expect("a folder"),
            runtime: tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime"),
            open: None,
        }
    }
}

impl Book for JournalBook {
    fn commit(&mut self, entries: Vec<Entry>, mark: Mark) {
        let (journal, run) = self.open.as_ref().expect("it is open");
        let batch = Batch {
            run: *run,
            entries,
            end: None,
        };
        let writer = journal.writer();
        self.runtime
            .block_on(async {
                let receipt = writer.append_marked(batch, Some(mark)).await?;
                receipt.committed().await
            })
            .expect("committed");
    }

    fn recover(&mut self, id: ConnectionId) -> Option<KeptConnection> {
        self.open = None;
        let path = self.dir.path().join("j.db");
        let settings = Settings::default().handed_over(vec![id]);
        let mut journal = Journal::open(&path, &settings).expect("a journal");
        let kept = journal.take_kept().pop();
        let run = match &kept {
            Some(kept) => kept.run,
            None => {
                let info = RunInfo {
                    machine: "web".to_owned(),
                    ..RunInfo::default()
                };
                let opened = self.runtime.block_on(journal.writer().open_run(info));
                opened.expect("a run").run
            }
        };
        self.open = Some((journal, run));
        kept
    }

    fn read(&mut self) -> Vec<Written> {
        self.open = None;
        let reader = Reader::open(&self.dir.path().join("j.db")).expect("a reader");
        let records = reader.records(&Query::default()).expect("a query");
        let records = records.map(|record| record.expect("readable"));
        records
            .filter_map(|record| {
                let note = (record.origin == crate::record::Origin::Qwatch).then_some(record.name);
                Written::of(note.as_deref(), record.data.as_deref().expect("data"))
            })
            .collect()
    }
}
