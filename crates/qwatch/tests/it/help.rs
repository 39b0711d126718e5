//! What the program says about itself: help, completions, manual pages.

use std::fs;

use crate::command::run;

/// The commands named in `qwatch --help`, in its order.
fn commands() -> Vec<String> {
    let help = run(&["--help"]).out;
    let list = help
        .split("Commands:\n")
        .nth(1)
        .expect("a list of commands");
    let list = list.split("\n\n").next().expect("it ends");
    let names = list.lines().filter(|line| !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn help_of_the_commands_that_need_no_journal() {
    for name in [
        "watch",
        "wait",
        "execute",
        "decode",
        "events",
        "check",
        "completions",
        "man",
    ] {
        let said = run(&[name, "--help"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        insta::assert_snapshot!(format!("help_{name}"), said.out);
    }
}

#[test]
fn help_tells_the_exit_codes_and_every_command_has_help() {
    let help = run(&["--help"]).out;
    for code in ["0 ", "1 ", "2 ", "124 "] {
        assert!(help.contains(&format!("\n  {code}")), "{help}");
    }
    let commands = commands();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands {
        let said = run(&[&command, "--help"]);
        assert_eq!(said.code, 0, "{command}");
        assert!(
            said.out.lines().all(|line| line.chars().count() <= 100),
            "{}",
            said.out
        );
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["no-such-command"][..],
        &["execute"],
        &["decode", "--nonsense"],
        &["wait", "a"],
    ] {
        let said = run(args);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}");
        assert!(said.err.starts_with("error: "), "{}", said.err);
    }
    assert_eq!(run(&["--version"]).code, 0);
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = run(&["completions", shell]);
        assert_eq!(said.code, 0);
        for command in commands() {
            assert!(
                said.out.contains(&command),
                "{shell} does not know {command}"
            );
        }
    }
}

#[test]
fn manual_pages_are_written_one_a_command() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("man1");
    let said = run(&["man", folder.to_str().expect("UTF-8")]);
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (0, "", "")
    );
    for command in commands() {
        let page = folder.join(format!("qwatch-{command}.1"));
        let page = fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        assert!(page.contains("EXIT STATUS"), "{command}");
    }
    let page = fs::read_to_string(folder.join("qwatch.1")).expect("a page");
    assert_eq!(page, run(&["man"]).out);
}
