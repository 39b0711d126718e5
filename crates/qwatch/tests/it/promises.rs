//! PROMISES.md names tests that exist.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a module can be: its own file, its folder, or within the file of the module around it.
fn files_of(module: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for base in ["tests/it", "src"] {
        let place = root.join(base).join(module.join("/"));
        found.push(place.with_extension("rs"));
        found.push(place.join("mod.rs"));
        if let Some(around) = place.parent() {
            found.push(around.with_extension("rs"));
            found.push(around.join("mod.rs"));
        }
        // A folder of tests without further order.
        let files = fs::read_dir(&place).into_iter().flatten().flatten();
        found.extend(files.map(|file| file.path()));
    }
    found
}

#[test]
fn every_test_that_is_named_exists() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../PROMISES.md");
    let text = fs::read_to_string(path).expect("PROMISES.md");
    let names = text
        .split('`')
        .filter(|word| word.contains("::") && !word.contains(' '));
    let mut count = 0;
    for name in names {
        let mut module: Vec<&str> = name.split("::").collect();
        let function = module.pop().expect("a name");
        let declared = format!("fn {function}(");
        let holds =
            |file: &PathBuf| fs::read_to_string(file).is_ok_and(|text| text.contains(&declared));
        assert!(
            files_of(&module).iter().any(holds),
            "there is no test {name}"
        );
        count += 1;
    }
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    assert!(count >= rows.count(), "every promise has a test");
}
