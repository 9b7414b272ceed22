//! What is wrong with a configuration, where, and what to write instead: collected, never thrown one at a time.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use annotate_snippets::AnnotationKind;
use annotate_snippets::Level;
use annotate_snippets::Renderer;
use annotate_snippets::Snippet;

use crate::config::scan::Refusal;

/// Whether a problem stops the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is taken, and the person is told.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the gateway.
    pub severity: Severity,
    /// Where: bytes of the configuration's text; nothing if it belongs to no place in it.
    pub span: Option<Range<usize>>,
    /// Another place that has to do with it, and what stands there.
    pub beside: Option<(Range<usize>, &'static str)>,
    /// What is wrong.
    pub text: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// An error of the file as a whole.
    pub(crate) fn of_file(text: String, help: &str) -> Self {
        Self { severity: Severity::Error, span: None, beside: None, text, help: Some(help.to_owned()) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self {
            severity: Severity::Error,
            span: refusal.span,
            beside: None,
            text: refusal.text,
            help: Some(refusal.help),
        }
    }
}

/// All problems of one configuration, with its text, so that each can be shown in place.
#[derive(Clone, Debug)]
pub struct Problems {
    file: String,
    text: String,
    list: Vec<Problem>,
}

impl Problems {
    /// Problems of `text`, which stands in `file`, put in the order of the text.
    pub(crate) fn new(file: &str, text: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
        Self { file: file.to_owned(), text: text.to_owned(), list }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one of them stops the gateway.
    pub fn stop(&self) -> bool {
        self.iter().any(|problem| problem.severity == Severity::Error)
    }

    fn render(&self, problem: &Problem) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&*problem.text);
        let mut group = match &problem.span {
            Some(span) => {
                let beside = problem
                    .beside
                    .iter()
                    .map(|(span, what)| AnnotationKind::Context.span(span.clone()).label(*what));
                title.element(
                    Snippet::source(&*self.text)
                        .path(&*self.file)
                        .annotation(AnnotationKind::Primary.span(span.clone()))
                        .annotations(beside),
                )
            }
            None => annotate_snippets::Group::with_title(title)
                .element(annotate_snippets::Origin::path(&*self.file)),
        };
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(&**help));
        }
        Renderer::plain().render(&[group])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.iter().enumerate() {
            let gap = if place == 0 { "" } else { "\n\n" };
            write!(formatter, "{gap}{}", self.render(problem))?;
        }
        Ok(())
    }
}

impl Error for Problems {}
