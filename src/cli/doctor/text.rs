//! A report for people: what is wrong first, each with what shows it and what mends it; what is well in a few lines.

use std::io;
use std::io::Write;

use crate::doctor::Report;
use crate::doctor::finding::Finding;
use crate::doctor::finding::Mend;
use crate::doctor::finding::Status;

/// No line is longer, where words allow.
const WIDTH: usize = 100;
const INDENT: &str = "      ";
const DOT: &str = "      · ";
const FURTHER: &str = "        ";

/// Writes the report, with colours if asked for.
pub(super) fn write(out: &mut impl Write, report: &Report, colour: bool) -> io::Result<()> {
    let login = if report.active { " and with a login" } else { "" };
    writeln!(out, "{}\nlooked at from outside{}, with {} requests", report.url, login, report.requests)?;
    for trouble in &report.troubles {
        paragraph(out, "note: ", INDENT, trouble)?;
    }
    for finding in report.findings.iter().filter(|finding| finding.status <= Status::Info) {
        tell(out, finding, colour)?;
    }
    let of = |status| report.findings.iter().filter(move |finding: &&Finding| finding.status == status);
    let fine: Vec<&str> = of(Status::Pass).map(|finding| finding.check.name).collect();
    if !fine.is_empty() {
        writeln!(out)?;
        paragraph(out, &painted("fine  ", Status::Pass, colour), INDENT, &fine.join(", "))?;
    }
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for finding in of(Status::Skip) {
        match reasons.iter_mut().find(|(reason, _)| *reason == finding.says) {
            Some((_, names)) => names.push(finding.check.name),
            None => reasons.push((&finding.says, vec![finding.check.name])),
        }
    }
    if !reasons.is_empty() {
        writeln!(out, "\nnot checked")?;
    }
    for (reason, names) in reasons {
        paragraph(out, INDENT, FURTHER, &format!("{}: {reason}", names.join(", ")))?;
    }
    if report.findings.iter().any(|finding| finding.mend().is_some()) {
        writeln!(
            out,
            "\nwhat mends is a setting of Vestibule in front of the app; `sites[]` is the site's block"
        )?;
    }
    if !report.active {
        writeln!(
            out,
            "\nfixation, logout and forged requests are seen with `--active --recipe FILE` (docs/doctor.md)"
        )?;
    }
    writeln!(
        out,
        "\n{} failed, {} to look at, {} fine, {} not checked",
        report.count(Status::Fail),
        report.count(Status::Warn) + report.count(Status::Info),
        report.count(Status::Pass),
        report.count(Status::Skip),
    )
}

fn tell(out: &mut impl Write, finding: &Finding, colour: bool) -> io::Result<()> {
    let check = finding.check;
    let word = match finding.status {
        Status::Fail => "FAIL  ",
        Status::Warn => "warn  ",
        Status::Info => "note  ",
        Status::Pass => "fine  ",
        Status::Skip => INDENT,
    };
    let word = painted(word, finding.status, colour);
    writeln!(out, "\n{word}{}  ({}: {})", check.name, check.standard, check.source)?;
    paragraph(out, INDENT, INDENT, &finding.says)?;
    for evidence in &finding.evidence {
        paragraph(out, DOT, FURTHER, evidence)?;
    }
    match finding.mend() {
        Some(mend) => paragraph(out, "      mend: ", FURTHER, &in_words(mend)),
        None => Ok(()),
    }
}

fn in_words(mend: &Mend) -> String {
    let default = if mend.default { " (the default)" } else { "" };
    format!("`{}: {}`{default}: {}", mend.setting, mend.value, mend.says)
}

/// Words in lines of [`WIDTH`], the first behind `first` and the others behind `rest`.
fn paragraph(out: &mut impl Write, first: &str, rest: &str, text: &str) -> io::Result<()> {
    write!(out, "{first}")?;
    let mut column = FURTHER.len();
    for (number, word) in text.split(' ').enumerate() {
        let length = word.chars().count() + 1;
        if number > 0 && column + length > WIDTH {
            write!(out, "\n{rest}")?;
            column = rest.len();
        } else if number > 0 {
            write!(out, " ")?;
        }
        write!(out, "{word}")?;
        column += length;
    }
    writeln!(out)
}

fn painted(word: &str, status: Status, colour: bool) -> String {
    let code = match status {
        Status::Fail => "31;1",
        Status::Warn => "33;1",
        Status::Info => "36;1",
        Status::Pass => "32;1",
        Status::Skip => "2",
    };
    if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
}
