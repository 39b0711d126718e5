//! Conversations written down in `tests/data/twin`: those recorded once with real QEMUs, and every corner
//! of the input dialect that came to mind.

use std::path::Path;

use crate::pair::Pair;
use crate::script::Script;
use crate::{each_qemu, say};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/twin");

#[test]
fn written_conversations() {
    let mut scripts: Vec<(String, Script)> = Vec::new();
    for entry in Path::new(FOLDER).read_dir().expect("the folder of scripts") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a readable script");
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        scripts.push((name, Script::parse(&text)));
    }
    scripts.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert!(scripts.len() > 10, "scripts are missing: {}", scripts.len());
    each_qemu(|binary| {
        let mut pair = Pair::start(binary)?;
        let (mut connections, mut bytes, mut differences) = (0, 0, Vec::new());
        for (name, script) in &scripts {
            match pair.compare(script) {
                Ok(transcript) => {
                    connections += transcript.heard.len();
                    bytes += transcript.len();
                }
                Err(difference) => differences.push(format!("{name}: {difference}")),
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        let version = binary.version;
        say(&format!(
            "QEMU {version}: {connections} conversations, {bytes} bytes equal"
        ));
        Ok(())
    });
}
