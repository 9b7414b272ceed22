//! Warning people before their session ends, as it is written: a truth value, a time, or a block.

use schemars::JsonSchema;

use crate::config::findings::Findings;
use crate::config::read;
use crate::config::read::Given;
use crate::config::read::Read;
use crate::config::tree::Node;
use crate::config::tree::Value;
use crate::config::units::Span;

shape! {
    /// How long before its end a session is warned of it.
    WarnBlock {
        /// Before nothing was asked for too long. Default: 2m.
        idle: Span,
        /// Before the longest time is over. Default: 5m.
        absolute: Span,
    }
}

/// Whether people are warned, and how long before.
#[derive(Debug, JsonSchema)]
#[schemars(inline, with = "WarnForms")]
pub(crate) struct WarnFile(pub(crate) Option<WarnBlock>);

#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "exists for the schema alone")]
enum WarnForms {
    Word(bool),
    Idle(Span),
    Block(WarnBlock),
}

impl Read for WarnFile {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        match &node.value {
            Value::Bool(on) => Some(Self(on.then(WarnBlock::default))),
            Value::Map(_) => WarnBlock::read(node, path, findings).map(|block| Self(Some(block))),
            Value::Text(text) if text.starts_with(|first: char| first.is_ascii_digit()) => {
                let idle = Given { value: Span::read(node, path, findings)?, at: node.at };
                Some(Self(Some(WarnBlock { idle: Some(idle), ..WarnBlock::default() })))
            }
            Value::Text(_) | Value::Null | Value::Whole(_) | Value::Number(_) | Value::List(_) => {
                read::wrong_type(
                    node,
                    path,
                    "`true`, `false`, a time or a block",
                    "`true`, or a time such as `2m`",
                    findings,
                );
                None
            }
        }
    }
}
