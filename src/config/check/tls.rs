//! Certificates, and the hosts they are good for.

use std::path::PathBuf;

use crate::config::DEVELOPMENT_HOSTS;
use crate::config::check::Check;
use crate::config::file::File;
use crate::config::tree::At;
use crate::net::Host;
use crate::server::CertificateFiles;
use crate::server::MinTls;
use crate::server::TlsSettings;

const CERT: &str = "certs/localhost.pem";
const KEY: &str = "certs/localhost.key";

/// How TLS is ended. Where no listener speaks it, certificates are not looked at.
pub(super) fn tls(file: &File, check: &mut Check<'_>) -> TlsSettings {
    let generate = file.tls.generate.as_ref().is_some_and(|given| given.value);
    let off = file.listen.https.as_ref().is_some_and(|given| match &given.value.0 {
        None => true,
        Some(list) => list.is_empty(),
    });
    let certificates = if off { Vec::new() } else { certificates(file, generate, check) };
    TlsSettings {
        certificates,
        generate,
        min_version: file.tls.min_version.as_ref().map_or(MinTls::V1_2, |given| given.value),
    }
}

/// The hosts of sites that name none: those of the certificates. Nothing if a certificate cannot be used: that was
/// noted, and then nobody can tell.
pub(super) fn hosts(tls: &TlsSettings, check: &Check<'_>) -> Option<Vec<Host>> {
    if is_unread(check) {
        return None;
    }
    let development = || DEVELOPMENT_HOSTS.iter().filter_map(|name| Host::parse(name));
    let mut hosts = Vec::new();
    for (place, files) in tls.certificates.iter().enumerate() {
        if place == 0 && tls.generate && !files.cert.exists() {
            hosts.extend(development());
        } else {
            hosts.extend((check.outside.certificate_names)(files).ok()?.hosts);
        }
    }
    hosts.sort();
    hosts.dedup();
    Some(hosts)
}

fn is_unread(check: &Check<'_>) -> bool {
    ["tls.certificates", "tls.generate"].iter().any(|path| check.findings.is_unread(path))
}

/// Warns of hosts that no certificate is for. Where one is made for development it is for all of them; a certificate that
/// cannot be used was noted.
pub(super) fn coverage(file: &File, tls: &TlsSettings, check: &mut Check<'_>) {
    if tls.certificates.is_empty() || tls.generate {
        return;
    }
    let names: Result<Vec<_>, _> =
        tls.certificates.iter().map(|files| (check.outside.certificate_names)(files)).collect();
    let Ok(names) = names else { return };
    let of_sites = file.sites.iter().flat_map(|sites| &sites.value);
    let of_sites = of_sites.flat_map(|site| &site.value.hosts).flat_map(|hosts| &hosts.value.values);
    let of_sites = of_sites.map(|given| (given.at, &given.value.0));
    let of_login = file.login.host.as_ref().and_then(|given| Some((given.at, &given.value.0.as_ref()?.0)));
    for (at, host) in of_sites.chain(of_login) {
        // What addresses a certificate is for is not read.
        if !host.is_address() && !names.iter().any(|names| names.cover(host)) {
            check.findings.warning(
                Some(at),
                format!("no certificate is for `{host}`: browsers will not trust what answers there"),
                "add one that names it to `tls.certificates`, or correct the host",
            );
        }
    }
}

fn certificates(file: &File, generate: bool, check: &mut Check<'_>) -> Vec<CertificateFiles> {
    let Some(list) = &file.tls.certificates else {
        let files = CertificateFiles { cert: check.path(CERT), key: check.path(KEY) };
        if !is_unread(check) {
            look_at(&files, (None, None), generate, check);
        }
        return vec![files];
    };
    if list.value.is_empty() {
        check.findings.error(
            list.at,
            "`tls.certificates` is empty, but `listen.https` needs one".to_owned(),
            "name a certificate, or remove the line and write `generate: true` for a development certificate",
        );
    }
    let mut all = Vec::new();
    for (place, given) in list.value.iter().enumerate() {
        // What is missing was noted when the file was read.
        let (Some(cert), Some(key)) = (&given.value.cert, &given.value.key) else {
            continue;
        };
        let files = CertificateFiles { cert: check.path(&cert.value.0), key: check.path(&key.value.0) };
        look_at(&files, (Some(cert.at), Some(key.at)), generate && place == 0, check);
        all.push(files);
    }
    all
}

fn look_at(
    files: &CertificateFiles,
    (cert, key): (Option<At>, Option<At>),
    may_make: bool,
    check: &mut Check<'_>,
) {
    let missing = |path: &PathBuf| !path.is_file();
    match (missing(&files.cert), missing(&files.key)) {
        (true, true) if may_make => {}
        (true, _) => check.findings.missing(
            cert,
            format!("there is no certificate at `{}`", files.cert.display()),
            match cert {
                Some(_) => "correct the path (it begins at this configuration's folder), or write `tls: { generate: true }` for a development certificate",
                None => "name yours in `tls.certificates`, or write `tls: { generate: true }` for a development certificate",
            },
        ),
        (false, true) => check.findings.missing(
            key,
            format!("there is no private key at `{}`, though its certificate exists", files.key.display()),
            "correct the path, or move the certificate away and write `tls: { generate: true }` for a development certificate",
        ),
        (false, false) => {
            check.private(&files.key, key, "the private key", "with it anybody passes for this site");
            if let Err(reason) = (check.outside.certificate_names)(files) {
                check.findings.missing(
                    cert,
                    format!("the certificate `{}` cannot be used: {reason}", files.cert.display()),
                    "replace it and its key by a pair in PEM that belongs together",
                );
            }
        }
    }
}
