//! Sessions for people: a table of many, or all about one.

use std::io;
use std::io::Write;

use crate::admin::sessions::Entry;

const COLUMNS: usize = 7;
const TITLES: [&str; COLUMNS] = ["ID", "USER", "LOGIN", "CLIENT", "ADDRESS", "SIGNED IN", "LAST USED"];

/// A table that is written page by page: its columns are as wide as the first page asks for.
#[derive(Debug, Default)]
pub(super) struct Table {
    widths: Option<[usize; COLUMNS]>,
}

impl Table {
    /// Writes these sessions, below the titles if they are the first.
    pub(super) fn write(&mut self, out: &mut impl Write, sessions: &[Entry]) -> io::Result<()> {
        if sessions.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = sessions.iter().map(cells).collect();
        let widths = if let Some(widths) = self.widths {
            widths
        } else {
            let titles = TITLES.map(str::to_owned);
            let widths = std::array::from_fn(|column| {
                let cells = rows.iter().chain([&titles]).filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            });
            line(out, &titles, &widths)?;
            widths
        };
        self.widths = Some(widths);
        rows.iter().try_for_each(|row| line(out, row, &widths))
    }
}

/// Writes all that is known of a session.
pub(super) fn write_one(out: &mut impl Write, session: &Entry) -> io::Result<()> {
    let agent = session.user_agent.as_deref().unwrap_or("not said");
    let hosts = session.hosts.join(", ");
    for (name, value) in [
        ("id", &*session.id),
        ("user", &plain(&session.user)),
        ("login", &login(session)),
        ("client", &*session.client),
        ("user agent", agent),
        ("address", &*session.client_address),
        ("sites", &*hosts),
        ("signed in", &*session.created_at),
        ("last used", &*session.last_seen_at),
        ("ends unused", &*session.idle_expires_at),
        ("ends at last", &*session.expires_at),
    ] {
        writeln!(out, "{name:<13}{value}")?;
    }
    Ok(())
}

fn cells(session: &Entry) -> [String; COLUMNS] {
    [
        session.id.clone(),
        plain(&session.user),
        login(session),
        session.client.clone(),
        session.client_address.clone(),
        to_the_second(&session.created_at),
        to_the_second(&session.last_seen_at),
    ]
}

/// Who vouches for the name: a user of an app's own login is another than one of the same name in the users file. In a
/// column of its own, since a name may look like anything.
fn login(session: &Entry) -> String {
    plain(session.realm.as_deref().unwrap_or("users file"))
}

fn line(out: &mut impl Write, cells: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> io::Result<()> {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
}

/// RFC 3339 without parts of a second.
fn to_the_second(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

/// A name as it can stand on a terminal: what hides or reorders text is written as a number.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    for char in name.chars() {
        match char {
            '\'' | '"' | '\\' => plain.push(char),
            other => plain.extend(other.escape_debug()),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(user: &str) -> Entry {
        Entry {
            id: "00112233aabbccdd".to_owned(),
            user: user.to_owned(),
            realm: (user == "zoe").then(|| "wiki.example/".to_owned()),
            client_address: "192.0.2.7".to_owned(),
            user_agent: None,
            client: "Firefox on Linux".to_owned(),
            hosts: vec!["app.example".to_owned()],
            created_at: "2023-11-14T22:13:20.123Z".to_owned(),
            last_seen_at: "2023-11-14T22:14:20.123Z".to_owned(),
            idle_expires_at: "2023-11-14T22:44:20.123Z".to_owned(),
            expires_at: "2023-11-15T22:13:20.123Z".to_owned(),
        }
    }

    #[test]
    fn columns_stand_below_their_titles_and_titles_once() {
        let (mut out, mut table) = (Vec::new(), Table::default());
        table.write(&mut out, &[entry("ann"), entry("Berta Müller")]).unwrap();
        table.write(&mut out, &[entry("zoe")]).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\
ID                USER          LOGIN       CLIENT            ADDRESS    SIGNED IN             LAST USED
00112233aabbccdd  ann           users file  Firefox on Linux  192.0.2.7  2023-11-14T22:13:20Z  2023-11-14T22:14:20Z
00112233aabbccdd  Berta Müller  users file  Firefox on Linux  192.0.2.7  2023-11-14T22:13:20Z  2023-11-14T22:14:20Z
00112233aabbccdd  zoe           wiki.example/  Firefox on Linux  192.0.2.7  2023-11-14T22:13:20Z  2023-11-14T22:14:20Z
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_name_cannot_play_tricks_on_a_terminal() {
        assert_eq!(plain("o'neil@x é"), "o'neil@x é");
        assert_eq!(plain("a\u{202e}b\u{1b}[2J"), "a\\u{202e}b\\u{1b}[2J");
    }
}
