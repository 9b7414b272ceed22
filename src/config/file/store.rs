//! Where sessions are kept, as it is written: a word, or a block that says more.

use schemars::JsonSchema;

use crate::config::findings::Findings;
use crate::config::read;
use crate::config::read::Given;
use crate::config::read::OneOrMany;
use crate::config::read::Read;
use crate::config::tree::Node;
use crate::config::tree::Value;
use crate::config::units::Text;
use crate::config::words::StoreName;

shape! {
    /// A store with what it needs to know.
    StoreBlock {
        /// Sessions in this file.
        disk: Text,
        /// Sessions on a Redis or Valkey server that several gateways share: its address, or a block.
        redis: RedisFile,
    }
}

/// Where sessions are kept.
#[derive(Debug, JsonSchema)]
#[schemars(inline, untagged)]
pub(crate) enum StoreFile {
    /// `memory` or `disk`.
    Name(StoreName),
    /// One that needs to know more.
    Block(Box<StoreBlock>),
}

impl Read for StoreFile {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        if let Value::Map(entries) = &node.value {
            if entries.is_empty() {
                let wanted = "`disk`, `memory`, or a block such as `{ redis: rediss://redis.internal }`";
                read::wrong_type(node, path, wanted, "`disk`", findings);
                return None;
            }
            return StoreBlock::read(node, path, findings).map(Box::new).map(Self::Block);
        }
        StoreName::read(node, path, findings).map(Self::Name)
    }
}

/// A server: its address alone, or a block.
#[derive(Debug, JsonSchema)]
#[schemars(inline, with = "RedisForms")]
pub(crate) struct RedisFile(pub(crate) RedisBlock);

#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "exists for the schema alone")]
enum RedisForms {
    Servers(OneOrMany<Text>),
    Block(Box<RedisBlock>),
}

impl Read for RedisFile {
    fn read(node: &Node, path: &str, findings: &mut Findings) -> Option<Self> {
        if matches!(node.value, Value::Map(_)) {
            return RedisBlock::read(node, path, findings).map(Self);
        }
        let urls = Some(Given { value: OneOrMany::read(node, path, findings)?, at: node.at });
        Some(Self(RedisBlock { urls, ..RedisBlock::default() }))
    }
}

shape! {
    /// How a Redis or Valkey server is reached.
    RedisBlock {
        /// Addresses such as `rediss://redis.internal:6379`; the first that answers and takes writes is used.
        urls: OneOrMany<Text>,
        /// The user of an ACL. Default: the server's default user.
        username: Text,
        /// A file with the user's password, read at each connection. Default: none.
        password_file: Text,
        /// What all keys begin with. Default: `vestibule:`.
        prefix: Text,
    }
    blocks {
        /// Who says which server is in charge; in place of `urls`.
        sentinel: SentinelFile,
        /// What `rediss://` connections are made with.
        tls: RedisTlsFile,
    }
    unless ["urls" by "sentinel"]
}

shape! {
    /// Sentinels that watch over the servers.
    SentinelFile {
        /// What they call the servers.
        master: Text,
        /// Their addresses, such as `redis://sentinel-1.internal:26379`.
        urls: OneOrMany<Text>,
    }
    required ["master", "urls"]
}

shape! {
    /// What `rediss://` connections are made with.
    RedisTlsFile {
        /// The authorities that may vouch for the servers, in PEM. Default: those of the system.
        ca_file: Text,
        /// A certificate to show, in PEM. Default: none.
        cert: Text,
        /// Its key, in PEM.
        key: Text,
    }
}
