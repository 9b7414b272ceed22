//! An error told with what caused it.

use std::error::Error;

/// An error with its causes, each said once: some tell their cause in their own sentence.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn a_cause_is_said_once() {
        let taken = Link("in use", None);
        let listen = Link("cannot listen: in use", Some(Box::new(taken)));
        assert_eq!(causes(&Link("no gateway", Some(Box::new(listen)))), "no gateway: cannot listen: in use");
    }
}
