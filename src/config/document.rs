//! The configuration file, documented: every key of the table, commented out, with its help, default and other spellings.

use super::{
    Mode,
    keys::{self, Form, Key},
};

/// The width of the comments.
const WIDTH: usize = 100;

const HEAD: &str = "\
# The configuration of countersign, as `countersign config init` writes it.
#
# Every key is here, commented out: those with a default show it. The environment overrides this
# file and flags override both. `countersign config check --config FILE` tells everything that is
# wrong with it, `countersign config show --config FILE` what is in effect and where it comes from.
#
# `countersign serve` needs two things that have no default: peppers and at least one of the
# [[callers]] at the end. It also needs to know about TLS, unless it listens on loopback only.
";

const CALLERS: &str = "
# The internal services that may call, one table for each, at the end of the file. Here only: no
# flag or variable gives them.
#
# name         Its name, as events tell it.
# key_digests  The digests of its service keys, as printed by `countersign key new`; several at once
#              while a key is rotated.
# spiffe_ids   The SPIFFE IDs of its certificates, such as \"spiffe://example.org/ns/shop/sa/web\", by
#              which it calls without a key; they need tls.client_ca_file.
# service_accounts  The Kubernetes service accounts that it runs under, such as \"shop/bookings\", by
#              whose tokens it calls; they need an issuer with kubernetes = true.
# subjects     Whom tokens of other issuers name: {issuer = \"https://…\", subject = \"…\"}.
#              At least one of these four is required.
# grants       What it may call: authorize, tokens.issue, tokens.revoke, tokens.read,
#              directory.read, directory.write, events.read.
# acts_for     \"members\" (the default): it must name the member for whom it handles tokens, and
#              countersign enforces what that member may do. \"platform\": it need not.
#
#[[callers]]
#name = \"bookings\"
#key_digests = [\"blake3:…\"]
#grants = [\"authorize\"]
#acts_for = \"members\"
";

const ISSUERS: &str = "
# Those whose tokens name callers, one table for each. In the file only. Callers send such a token
# in `authorization`.
#
# issuer       Its name, exactly as its tokens have it in `iss`. Without jwks_uri also its address.
# audience     What its tokens must have in `aud`: a name of this service.
# kubernetes   true: it is the cluster of service_accounts. One at most is.
# jwks_uri     Where it publishes its keys; else its discovery document says so. By https, or on
#              loopback by http.
# ca_file      The authorities (PEM) that its server is verified by, instead of the system's.
# bearer_token_file  A token that is shown to its server. The API server of Kubernetes wants one.
#
#[[issuers]]
#issuer = \"https://kubernetes.default.svc.cluster.local\"
#audience = \"countersign\"
#kubernetes = true
#jwks_uri = \"https://kubernetes.default.svc/openid/v1/jwks\"
#ca_file = \"/var/run/secrets/kubernetes.io/serviceaccount/ca.crt\"
#bearer_token_file = \"/var/run/secrets/kubernetes.io/serviceaccount/token\"
";

/// The text of a file that sets nothing and says everything. Prose begins with `# `, a setting with `#` alone.
pub(crate) fn document() -> String {
    let mut text = HEAD.to_owned();
    for key in keys::all() {
        let sentence = format!("{}.", key.help.trim_end_matches('.'));
        let spellings = format!(
            "{} Variable: {}. Flag: --{}.",
            default(key),
            key.variable,
            key.flag
        );
        text.push('\n');
        text.push_str(&comment(&sentence));
        text.push_str(&comment(&spellings));
        text.push_str(&format!("#{} = {}\n", key.name, value(key)));
    }
    text.push_str(ISSUERS);
    text.push_str(CALLERS);
    text
}

fn default(key: &Key) -> String {
    match (key.default_told(Mode::Serve), key.default_told(Mode::Dev)) {
        (Some(serve), Some(dev)) if serve != dev => {
            format!("Default: {serve} for `serve`, {dev} for `dev`.")
        }
        (Some(default), _) | (None, Some(default)) => format!("Default: {default}."),
        (None, None) => "No default.".to_owned(),
    }
}

/// The default as the file writes it, or something to put a value in the place of.
fn value(key: &Key) -> String {
    let default = key.default(Mode::Serve);
    match (key.form, default) {
        (Form::Truth, default) => default.unwrap_or("false").to_owned(),
        (Form::Number, default) => default.unwrap_or("0").to_owned(),
        (Form::List, None | Some("")) => "[]".to_owned(),
        (Form::List, Some(items)) => {
            let quoted: Vec<_> = items.split(',').map(|item| format!("{item:?}")).collect();
            format!("[{}]", quoted.join(", "))
        }
        (Form::Text, Some(text)) => format!("{text:?}"),
        (Form::Text, None) if key.name == "tls" => "\"off\"".to_owned(),
        (Form::Text, None) if key.name.ends_with("_file") => "\"FILE\"".to_owned(),
        (Form::Text, None) => "\"VALUE\"".to_owned(),
    }
}

/// Prose in lines that fit.
fn comment(prose: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in prose.split_whitespace() {
        if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, check};

    #[test]
    fn every_line_of_it_is_one_that_the_file_takes() {
        for key in keys::all() {
            let document = document();
            let commented = format!("#{} = ", key.name);
            let line = document.lines().find(|line| line.starts_with(&commented));
            let set = line.unwrap_or_default().trim_start_matches('#');
            let told = match check(Mode::Serve, &Sources::of_file("c.toml", set)) {
                Ok(()) => String::new(),
                Err(faults) => faults.to_string(),
            };
            let is_known =
                !told.contains("there is no such key") && !told.contains("must be a string");
            assert!(!set.is_empty() && is_known, "{}: {told}", key.name);
        }
        let parsed: Result<toml::Table, _> = document().parse();
        assert_eq!(parsed, Ok(toml::Table::new()));
    }

    #[test]
    fn its_lines_fit() {
        for line in document().lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
