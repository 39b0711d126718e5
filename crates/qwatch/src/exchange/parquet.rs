//! Parquet: a column for each thing a record has, compressed with Snappy. Times are microseconds since 1970,
//! UTC, marked as such, so that DuckDB and the like show them as times. Runs are in the file's own metadata,
//! under keys that begin with `qwatch.run.`, each as the line that JSON Lines has for it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::RowAccessor;
use parquet::schema::parser::parse_message_type;
use qmp_events::Timestamp;

use super::jsonl::{read_run, run_line};
use super::{ExchangeError, Exported, Importer, Item, Sink};
use crate::journal::{Loaded, Loader};
use crate::limits::PARQUET_GROUP_ROWS;
use crate::record::{Origin, Record};

/// The columns, in this order; a promise to whoever reads such files.
const SCHEMA: &str = "message record {
    required int64 seq;
    required binary machine (UTF8);
    optional int64 run;
    required binary origin (UTF8);
    required binary event (UTF8);
    required int64 time (TIMESTAMP(MICROS,true));
    required int64 received (TIMESTAMP(MICROS,true));
    optional int64 seconds;
    optional int64 microseconds;
    optional binary data (UTF8);
    optional binary raw (UTF8);
}";

const RUN_KEY: &str = "qwatch.run.";

/// Writes a file.
pub struct Table<W: Write + Send> {
    /// `None` once it is finished.
    writer: Option<SerializedFileWriter<W>>,
    rows: Vec<Exported>,
    runs: Vec<KeyValue>,
}

impl<W: Write + Send> Table<W> {
    /// Writes to this.
    ///
    /// # Errors
    /// When the beginning of the file cannot be written.
    pub fn new(out: W) -> Result<Self, ExchangeError> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .build();
        Ok(Self {
            writer: Some(SerializedFileWriter::new(
                out,
                schema,
                Arc::new(properties),
            )?),
            rows: Vec::new(),
            runs: Vec::new(),
        })
    }

    fn write_group(&mut self) -> Result<(), ExchangeError> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        if !self.rows.is_empty() {
            let mut group = writer.next_row_group()?;
            write_columns(&mut group, &self.rows)?;
            group.close()?;
            self.rows.clear();
        }
        Ok(())
    }
}

impl<W: Write + Send> Sink for Table<W> {
    fn put(&mut self, item: &Item) -> Result<(), ExchangeError> {
        match item {
            Item::Run(machine, run) => self.runs.push(KeyValue {
                key: format!("{RUN_KEY}{}", run.run),
                value: Some(run_line(machine, run)),
            }),
            Item::Record(exported) => self.rows.push(exported.clone()),
        }
        if self.rows.len() >= PARQUET_GROUP_ROWS {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ExchangeError> {
        self.write_group()?;
        if let Some(mut writer) = self.writer.take() {
            for run in self.runs.drain(..) {
                writer.append_key_value_metadata(run);
            }
            writer.finish()?;
        }
        Ok(())
    }
}

fn write_columns<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Exported],
) -> Result<(), ExchangeError> {
    let records = || rows.iter().map(|row| &row.record);
    let stamp = |part: fn(Timestamp) -> i64| records().map(move |r| r.timestamp.map(part));
    numbers(group, records().map(|r| r.seq.map(u64::cast_signed)), true)?;
    texts(group, records().map(|r| Some(r.machine.as_str())), true)?;
    numbers(group, records().map(|r| r.run.map(u64::cast_signed)), false)?;
    texts(group, records().map(|r| Some(r.origin.as_str())), true)?;
    texts(group, records().map(|r| Some(r.name.as_str())), true)?;
    numbers(group, records().map(|r| Some(r.time_us())), true)?;
    numbers(group, records().map(|r| Some(r.received_us)), true)?;
    numbers(group, stamp(|stamp| stamp.seconds), false)?;
    numbers(group, stamp(|stamp| stamp.microseconds), false)?;
    texts(group, records().map(|r| r.data.as_deref()), false)?;
    texts(group, rows.iter().map(|row| row.raw.as_deref()), false)
}

/// The next column, of numbers. In one that must have a value none becomes 0.
fn numbers<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = Option<i64>>,
    required: bool,
) -> Result<(), ExchangeError> {
    let Some(mut column) = group.next_column()? else {
        return Ok(());
    };
    let (found, levels) = split(values, required, 0);
    let levels = (!required).then_some(&levels[..]);
    column
        .typed::<Int64Type>()
        .write_batch(&found, levels, None)?;
    Ok(column.close()?)
}

/// The next column, of texts.
fn texts<'r, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = Option<&'r str>>,
    required: bool,
) -> Result<(), ExchangeError> {
    let Some(mut column) = group.next_column()? else {
        return Ok(());
    };
    let values = values.map(|text| text.map(ByteArray::from));
    let (found, levels) = split(values, required, ByteArray::from(""));
    let levels = (!required).then_some(&levels[..]);
    column
        .typed::<ByteArrayType>()
        .write_batch(&found, levels, None)?;
    Ok(column.close()?)
}

/// The values there are, and for each row whether there is one.
fn split<T: Clone>(
    values: impl Iterator<Item = Option<T>>,
    required: bool,
    empty: T,
) -> (Vec<T>, Vec<i16>) {
    let (mut found, mut levels) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        match value {
            Some(value) => found.push(value),
            None if required => found.push(empty.clone()),
            None => {}
        }
    }
    (found, levels)
}

/// Takes a file into a journal. `progress` is told of rows and how many there are.
///
/// # Errors
/// When it is no file of ours, or the journal cannot be written; what came before is kept.
pub fn import(
    path: &Path,
    loader: Loader,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Loaded, ExchangeError> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let metadata = reader.metadata().file_metadata();
    let all = u64::try_from(metadata.num_rows()).unwrap_or(0);
    let malformed = |number: u64, message: String| ExchangeError::Malformed {
        place: "row",
        number,
        message,
    };
    let expected = parse_message_type(SCHEMA)?;
    let names =
        |fields: &[parquet::schema::types::TypePtr]| -> Vec<(String, parquet::basic::Type)> {
            let leaf = |field: &parquet::schema::types::TypePtr| {
                let physical = match field.is_primitive() {
                    true => field.get_physical_type(),
                    false => parquet::basic::Type::BOOLEAN,
                };
                (field.name().to_owned(), physical)
            };
            fields.iter().map(leaf).collect()
        };
    if names(metadata.schema().get_fields()) != names(expected.get_fields()) {
        return Err(malformed(
            0,
            "the columns are not those of an export".to_owned(),
        ));
    }
    let mut importer = Importer::new(loader, "row");
    for pair in metadata.key_value_metadata().into_iter().flatten() {
        if let (true, Some(line)) = (pair.key.starts_with(RUN_KEY), &pair.value) {
            let run = read_run(line).map_err(|message| malformed(0, message))?;
            importer.take(0, &run)?;
        }
    }
    let mut number = 0;
    for row in reader.get_row_iter(None)? {
        let row = row?;
        number += 1;
        let item = read_row(&row).map_err(|error| malformed(number, error.to_string()))?;
        importer.take(number, &item)?;
        if number % 1024 == 0 {
            progress(number, all);
        }
    }
    importer.finish()
}

fn read_row(row: &parquet::record::Row) -> Result<Item, parquet::errors::ParquetError> {
    // A column without a value gives an error, and so does one of another type; types were looked at.
    let text = |at: usize| row.get_string(at).cloned();
    let (seconds, microseconds) = (row.get_long(7).ok(), row.get_long(8).ok());
    let record = Record {
        seq: Some(row.get_long(0)?.unsigned_abs()),
        machine: text(1)?,
        run: row.get_long(2).ok().map(i64::unsigned_abs),
        origin: match text(3)?.as_str() {
            "qwatch" => Origin::Qwatch,
            _ => Origin::Qemu,
        },
        name: text(4)?,
        timestamp: seconds
            .zip(microseconds)
            .map(|(seconds, microseconds)| Timestamp {
                seconds,
                microseconds,
            }),
        received_us: row.get_timestamp_micros(6)?,
        data: text(9).ok(),
    };
    Ok(Item::Record(Exported {
        record,
        raw: text(10).ok(),
    }))
}
