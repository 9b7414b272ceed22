//! What of a page concerns sessions: its forms, its links, its `meta` names.

use std::collections::BTreeMap;

use html5gum::DefaultEmitter;
use html5gum::HtmlString;
use html5gum::Spanned;
use html5gum::Token;
use html5gum::Tokenizer;

/// A page, as far as it was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) forms: Vec<Form>,
    pub(crate) links: Vec<String>,
    /// Addresses of what browsers fetch with it: frames, pictures, scripts, styles.
    pub(crate) resources: Vec<String>,
    pub(crate) metas: Vec<(String, String)>,
}

/// A form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// Where it is sent; empty: to the page's own address.
    pub(crate) action: String,
    pub(crate) method: Method,
    /// Its hidden fields.
    pub(crate) hidden: Vec<(String, String)>,
    /// Whether a password is typed into it.
    pub(crate) password: bool,
}

/// How a form is sent. What a browser does not know is GET (HTML, form submission).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Method {
    #[default]
    Get,
    Post,
    Dialog,
    /// Fields outside of any form, which only a script can send.
    Script,
}

/// More of one kind than any page has.
const MOST: usize = 500;

type Attributes = BTreeMap<HtmlString, Spanned<HtmlString, ()>>;

impl Page {
    /// Reads a page. Whatever the bytes are, something comes out: the tokenizer knows no errors.
    pub(crate) fn read(html: &[u8]) -> Self {
        let mut emitter = DefaultEmitter::default();
        // Or what a script quotes would be taken for tags.
        emitter.naively_switch_states(true);
        let mut page = Self::default();
        let mut open: Option<Form> = None;
        for token in Tokenizer::new_with_emitter(html, emitter).map_while(Result::ok) {
            match token {
                Token::StartTag(tag) => page.tag(&tag.name, &tag.attributes, &mut open),
                Token::EndTag(tag) if **tag.name == *b"form" => page.close(open.take()),
                Token::EndTag(_)
                | Token::String(_)
                | Token::Comment(_)
                | Token::Doctype(_)
                | Token::Error(_) => {}
            }
        }
        page.close(open);
        page
    }

    /// The form that asks for a password.
    pub(crate) fn login_form(&self) -> Option<&Form> {
        self.forms.iter().find(|form| form.password)
    }

    fn tag(&mut self, name: &[u8], attributes: &Attributes, open: &mut Option<Form>) {
        match name {
            b"form" => {
                self.close(open.take());
                let method = match get(attributes, "method").to_ascii_lowercase().as_str() {
                    "post" => Method::Post,
                    "dialog" => Method::Dialog,
                    _ => Method::Get,
                };
                *open = Some(Form { action: get(attributes, "action"), method, ..Form::default() });
            }
            b"input" => {
                // Outside of any form it is a script's: there is a place to type a password all the same.
                let form = open.get_or_insert_with(|| Form { method: Method::Script, ..Form::default() });
                match get(attributes, "type").to_ascii_lowercase().as_str() {
                    "password" => form.password = true,
                    "hidden" if form.hidden.len() < MOST => {
                        form.hidden.push((get(attributes, "name"), get(attributes, "value")));
                    }
                    _ => {}
                }
            }
            b"a" | b"area" if self.links.len() < MOST => self.links.push(get(attributes, "href")),
            b"link" if self.resources.len() < MOST => self.resources.push(get(attributes, "href")),
            b"iframe" | b"frame" | b"img" | b"script" if self.resources.len() < MOST => {
                self.resources.push(get(attributes, "src"));
            }
            b"meta" if self.metas.len() < MOST => {
                self.metas.push((get(attributes, "name"), get(attributes, "content")));
            }
            _ => {}
        }
    }

    fn close(&mut self, form: Option<Form>) {
        self.forms.extend(form.filter(|_| self.forms.len() < MOST));
    }
}

fn get(attributes: &Attributes, name: &str) -> String {
    let value = attributes.iter().find(|(written, _)| ***written == *name.as_bytes());
    value.map(|(_, value)| String::from_utf8_lossy(value).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_and_links_are_found_in_real_pages() {
        let html = br#"<!doctype html><meta name="csrf-token" content="m1">
            <script>var a = '<form action="/not"><input type=password>';</script>
            <!-- <form action="/nor"> -->
            <A HREF="/login?next=%2F">Log in</A>
            <FORM Action='/search'><input name=q></FORM>
            <form method=POST action=/session><input type=hidden name=token value="a&amp;b">
            <input type="Password" name=p></form>"#;
        let page = Page::read(html);
        assert_eq!(page.links, ["/login?next=%2F"]);
        assert_eq!(page.metas, [("csrf-token".to_owned(), "m1".to_owned())]);
        assert_eq!(page.forms.len(), 2);
        let form = page.login_form().unwrap();
        assert_eq!((form.action.as_str(), form.method), ("/session", Method::Post));
        assert_eq!(form.hidden, [("token".to_owned(), "a&b".to_owned())]);
    }

    #[test]
    fn a_form_that_is_cut_off_counts() {
        assert!(
            Page::read(b"<form method=post><input type=password").forms.iter().all(|form| !form.password)
        );
        assert!(Page::read(b"<form method=post><input type=password>").login_form().is_some());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read(bytes: Vec<u8>) {
            Page::read(&bytes);
        }
    }
}
