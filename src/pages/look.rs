//! What an operator may change about the pages: title, logo, further style. Read once, at start.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use data_encoding::BASE64;

/// The look of the pages.
#[derive(Clone, Debug)]
pub struct Look {
    pub(crate) title: String,
    pub(crate) logo: Option<String>,
    pub(crate) css: String,
}

/// Why a logo or a style sheet cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Pages carry it inline, so it must be small.
    #[error("{} is larger than 256 KiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not an image browsers show.
    #[error("{} must end in .svg, .png, .jpg, .webp or .gif", path.display())]
    NotAnImage {
        /// The file.
        path: PathBuf,
    },
    /// It would end the element it stands in.
    #[error("{} is not a style sheet in UTF-8 without `</`", path.display())]
    NotAStyleSheet {
        /// The file.
        path: PathBuf,
    },
}

impl Look {
    const MAX_BYTES: u64 = 256 * 1024;

    /// Ours, with this title.
    pub fn plain(title: &str) -> Self {
        Self { title: title.to_owned(), logo: None, css: String::new() }
    }

    /// Ours, with this title, and with the logo and the further style of these files.
    pub fn load(title: &str, logo: Option<&Path>, css: Option<&Path>) -> Result<Self, LookError> {
        Ok(Self {
            title: title.to_owned(),
            logo: logo.map(image).transpose()?,
            css: css.map(style_sheet).transpose()?.unwrap_or_default(),
        })
    }
}

fn image(path: &Path) -> Result<String, LookError> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let kind = match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("svg") => "svg+xml",
        Some("png") => "png",
        Some("jpg" | "jpeg") => "jpeg",
        Some("webp") => "webp",
        Some("gif") => "gif",
        Some(_) | None => {
            return Err(LookError::NotAnImage { path: path.to_owned() });
        }
    };
    Ok(format!("data:image/{kind};base64,{}", BASE64.encode(&read(path)?)))
}

fn style_sheet(path: &Path) -> Result<String, LookError> {
    String::from_utf8(read(path)?)
        .ok()
        .filter(|css| !css.contains("</"))
        .ok_or_else(|| LookError::NotAStyleSheet { path: path.to_owned() })
}

fn read(path: &Path) -> Result<Vec<u8>, LookError> {
    let unreadable = |source| LookError::Unreadable { path: path.to_owned(), source };
    if fs::metadata(path).map_err(unreadable)?.len() > Look::MAX_BYTES {
        return Err(LookError::TooLarge { path: path.to_owned() });
    }
    fs::read(path).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_and_a_style_sheet_are_taken_in() {
        let directory = tempfile::tempdir().unwrap();
        let (logo, css) = (directory.path().join("l.SVG"), directory.path().join("x.css"));
        fs::write(&logo, "<svg/>").unwrap();
        fs::write(&css, "main { color: red }").unwrap();
        let look = Look::load("Hello", Some(&logo), Some(&css)).unwrap();
        assert_eq!(look.logo.as_deref(), Some("data:image/svg+xml;base64,PHN2Zy8+"));
        assert_eq!(look.css, "main { color: red }");
    }

    #[test]
    fn what_would_break_the_pages_is_refused_at_start() {
        let directory = tempfile::tempdir().unwrap();
        let (logo, css) = (directory.path().join("l.txt"), directory.path().join("x.css"));
        fs::write(&logo, "x").unwrap();
        fs::write(&css, "a{} </style><script>").unwrap();
        let missing = directory.path().join("missing.png");
        for (logo, css, said) in [
            (Some(&*logo), None, "must end in"),
            (None, Some(&*css), "style sheet"),
            (Some(&*missing), None, "cannot read"),
        ] {
            let error = Look::load("T", logo, css).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
