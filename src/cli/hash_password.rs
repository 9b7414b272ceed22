//! `vestibule hash-password`: a password in, an Argon2id PHC string out.

use std::io;
use std::io::Write as _;

use clap::Args;

use crate::cli::users::choose_password;
use crate::login::hash::Hash;

/// Reads a new password and prints its Argon2id hash, for the `password:` of a users file.
#[derive(Debug, Args)]
pub struct HashPassword {}

/// Asks for the password (on a terminal twice and without echo, else one line of standard input) and prints the hash.
pub fn run(_arguments: &HashPassword) -> anyhow::Result<()> {
    let password = choose_password(&[])?;
    writeln!(io::stdout().lock(), "{}", Hash::make(&password).text())?;
    Ok(())
}
