//! The program as a later release might be: with one more step of the journal's layout. Tests let it take
//! over from the plain one.

use std::process::ExitCode;

fn main() -> ExitCode {
    qwatch::journal::schema::add_step(|| {
        "CREATE TABLE upgraded(layout INTEGER NOT NULL) STRICT;
         INSERT INTO upgraded VALUES (1);"
            .to_owned()
    });
    qwatch::cli::main()
}
