//! The headers that tell the app who is calling.

use http::HeaderName;
use http::header;

use crate::config::check::Check;
use crate::config::file::IdentityFile;
use crate::config::file::IdentityHeadersFile;
use crate::config::read::Given;
use crate::config::read::OrNull;
use crate::config::units::FieldName;
use crate::config::words::Preset;
use crate::identity::headers::IdentityHeaders;

/// Fields with a meaning of their own: an identity written there would break the request or be believed as
/// something else.
const TAKEN: [HeaderName; 12] = [
    header::HOST,
    header::COOKIE,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
    header::FORWARDED,
    header::ORIGIN,
    header::VIA,
];

/// The headers of one site. Its own names come first, then its own preset, then those of all sites.
pub(super) fn headers(site: &IdentityFile, all: &IdentityFile, check: &mut Check<'_>) -> IdentityHeaders {
    let mut names = preset(all);
    put(&all.headers, &mut names);
    if site.preset.is_some() {
        names = preset(site);
    }
    put(&site.headers, &mut names);
    let own = [&all.headers, &site.headers];
    for file in own {
        prove(file, &names, check);
    }
    names
}

fn preset(file: &IdentityFile) -> IdentityHeaders {
    match file.preset.as_ref().map(|given| given.value) {
        None => IdentityHeaders::default(),
        Some(Preset::RemoteUser) => IdentityHeaders::remote_user(),
        Some(Preset::XAuthRequest) => IdentityHeaders::x_auth_request(),
    }
}

fn put(file: &IdentityHeadersFile, names: &mut IdentityHeaders) {
    let optional = |given: &Option<Given<OrNull<FieldName>>>, name: &mut Option<HeaderName>| {
        if let Some(given) = given {
            *name = given.value.0.as_ref().map(|field| field.0.clone());
        }
    };
    if let Some(given) = &file.user {
        names.user = given.value.0.clone();
    }
    optional(&file.email, &mut names.email);
    optional(&file.groups, &mut names.groups);
    optional(&file.name, &mut names.name);
}

fn prove(file: &IdentityHeadersFile, names: &IdentityHeaders, check: &mut Check<'_>) {
    let optional = |given: &Option<Given<OrNull<FieldName>>>| {
        let given = given.as_ref()?;
        Some((given.value.0.as_ref()?.0.clone(), given.at))
    };
    let user = file.user.as_ref().map(|given| (given.value.0.clone(), given.at));
    let written = [user, optional(&file.email), optional(&file.groups), optional(&file.name)];
    let all = [Some(&names.user), names.email.as_ref(), names.groups.as_ref(), names.name.as_ref()];
    for (name, at) in written.into_iter().flatten() {
        let protocol = name.as_str().starts_with("sec-") || name.as_str().starts_with("x-forwarded-for");
        if protocol || TAKEN.contains(&name) || name == "x-forwarded-host" || name == "x-forwarded-proto" {
            check.findings.error(
                at,
                format!("the header `{name}` has another meaning and cannot carry an identity"),
                "choose a name of its own, such as `X-Forwarded-User`",
            );
        } else if all.into_iter().flatten().filter(|other| **other == name).count() > 1 {
            check.findings.error(
                at,
                format!("two identity headers have the name `{name}`"),
                "give each a name of its own, or turn one off with `null`",
            );
        }
    }
}
