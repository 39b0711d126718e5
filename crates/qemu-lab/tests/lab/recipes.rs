//! Every recipe on every QEMU; those with a Linux, which take long, on the newest one.

use std::{
    io::{self, Write},
    thread,
    time::Instant,
};

use qemu_lab::{LabError, Machine, QemuBinary, Recipe, installed, recipes};

/// What one recipe did on one QEMU: the events, or why not.
type Outcome = Result<String, String>;

#[test]
fn every_recipe_gives_its_event_on_every_qemu() {
    let started = Instant::now();
    let binaries = installed().unwrap_or_else(|error| panic!("{error}"));
    let outcomes: Vec<(&QemuBinary, Vec<(&Recipe, Outcome)>)> = thread::scope(|scope| {
        let running: Vec<_> = binaries
            .iter()
            .map(|binary| {
                let newest = Some(binary) == binaries.last();
                (binary, scope.spawn(move || recipes_on(binary, newest)))
            })
            .collect();
        running
            .into_iter()
            .map(|(binary, thread)| (binary, thread.join().expect("a recipe panicked")))
            .collect()
    });
    let mut table = String::from("\n");
    let mut failures = Vec::new();
    for (binary, outcomes) in &outcomes {
        for (recipe, outcome) in outcomes {
            let version = binary.version;
            let text = outcome.as_deref().unwrap_or("FAILED");
            table.push_str(&format!("{version:>5}  {:<28}  {text}\n", recipe.name));
            if let Err(why) = outcome {
                failures.push(format!("QEMU {version}, {}: {why}", recipe.name));
            }
        }
    }
    let runs: usize = outcomes.iter().map(|(_, outcomes)| outcomes.len()).sum();
    table.push_str(&format!(
        "{runs} runs in {:.1} s\n",
        started.elapsed().as_secs_f64()
    ));
    // Past the test runner's capture: the table is what a person wants to see of this test.
    io::stdout()
        .write_all(table.as_bytes())
        .expect("standard output");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn recipes_on(binary: &QemuBinary, with_linux: bool) -> Vec<(&'static Recipe, Outcome)> {
    recipes::all()
        .filter(|recipe| recipe.works_on(binary.version))
        .filter(|recipe| with_linux || recipe.linux.is_none())
        .map(|recipe| {
            let outcome = match (recipe.host_lacks)() {
                None => events_of(recipe, binary).map_err(|error| error.to_string()),
                Some(why) => Ok(format!("NOT PLAYED: {why}")),
            };
            (recipe, outcome)
        })
        .collect()
}

fn events_of(recipe: &Recipe, binary: &QemuBinary) -> Result<String, LabError> {
    let mut machine: Machine = recipe.machine(binary).start()?;
    recipe.perform(&mut machine)?;
    let names: Vec<String> = machine
        .events()
        .into_iter()
        .map(|event| event.name)
        .collect();
    Ok(names.join(" "))
}
