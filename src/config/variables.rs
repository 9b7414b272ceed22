//! `${NAME}` in a text becomes the environment's variable of that name, once: what it brings in is not looked at
//! again.

use crate::config::findings::Findings;
use crate::config::tree::At;
use crate::config::tree::Node;
use crate::config::tree::Value;

/// Replaces all variables in `node` and below; keys stay as they are.
pub(crate) fn replace(node: &mut Node, variable: &dyn Fn(&str) -> Option<String>, findings: &mut Findings) {
    match &mut node.value {
        Value::Text(text) if text.contains("${") => {
            let expanded = expand(text, variable);
            if let Err(failed) = &expanded {
                failed.note(node.at, findings);
            }
            // What could not be expanded counts as not written: its text would only cause further problems.
            node.value = expanded.map_or(Value::Null, Value::Text);
        }
        Value::List(nodes) => nodes.iter_mut().for_each(|node| replace(node, variable, findings)),
        Value::Map(entries) => {
            for entry in entries {
                replace(&mut entry.node, variable, findings);
            }
        }
        Value::Text(_) | Value::Null | Value::Bool(_) | Value::Whole(_) | Value::Number(_) => {}
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Failed {
    Unset(String),
    Malformed,
}

impl Failed {
    fn note(&self, at: At, findings: &mut Findings) {
        match self {
            Self::Unset(name) => findings.error(
                at,
                format!("the environment has no variable `{name}`"),
                "set it where the gateway is started, or write the value here",
            ),
            Self::Malformed => findings.error(
                at,
                "`${` begins a variable, but no name and `}` follow".to_owned(),
                "write `${NAME}`: letters, digits and `_`",
            ),
        }
    }
}

fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Failed> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or(Failed::Malformed)?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(Failed::Malformed);
        }
        out.push_str(before);
        out.push_str(&variable(name).ok_or_else(|| Failed::Unset(name.to_owned()))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_once() {
        let variable = |name: &str| (name == "A").then(|| "${A}".to_owned());
        assert_eq!(expand("x${A}y${A}", &variable), Ok("x${A}y${A}".to_owned()));
        assert_eq!(expand("$A {A}", &variable), Ok("$A {A}".to_owned()));
        assert_eq!(expand("${B}", &variable), Err(Failed::Unset("B".to_owned())));
        for bad in ["${", "${}", "${A B}", "a${A"] {
            assert_eq!(expand(bad, &variable), Err(Failed::Malformed), "{bad}");
        }
    }
}
