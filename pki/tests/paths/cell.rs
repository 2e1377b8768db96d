//! One question with its answer, put to us and to openssl.

use std::fs;

use privyseal_pki::{
    Anchors, ObjectIdentifier, PathOptions, PathOutcome, PathQuery, Purpose, Revocation, Usage,
};

use crate::made::{Pki, openssl};
use crate::now;

pub struct Cell {
    pub name: &'static str,
    pub leaf: &'static str,
    above: &'static [&'static str],
    pub anchors: &'static [&'static str],
    crls: &'static [&'static str],
    days: i64,
    purpose: Purpose,
    usage: Usage,
    revocation: Revocation,
    options: PathOptions,
    /// "" for a valid path; `?name` for an unknown one
    pub error: &'static str,
    pub status: &'static str,
    /// why openssl says otherwise
    pub differs: &'static str,
}

pub fn cell(name: &'static str, leaf: &'static str, error: &'static str) -> Cell {
    Cell {
        name,
        leaf,
        above: &["int"],
        anchors: &["root"],
        crls: &[],
        days: 1,
        purpose: Purpose::Email,
        usage: Usage::Sign,
        revocation: Revocation::Off,
        options: PathOptions::default(),
        error,
        status: "not-checked",
        differs: "",
    }
}

impl Cell {
    pub fn above(mut self, above: &'static [&'static str]) -> Self {
        self.above = above;
        self
    }

    pub fn anchors(mut self, anchors: &'static [&'static str]) -> Self {
        self.anchors = anchors;
        self
    }

    pub fn days(mut self, days: i64) -> Self {
        self.days = days;
        self
    }

    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    pub fn any(mut self) -> Self {
        self.purpose = Purpose::Any;
        self
    }

    pub fn crls(
        mut self,
        revocation: Revocation,
        crls: &'static [&'static str],
        status: &'static str,
    ) -> Self {
        (self.revocation, self.crls, self.status) = (revocation, crls, status);
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut PathOptions)) -> Self {
        change(&mut self.options);
        self
    }

    pub fn level(self, level: u8) -> Self {
        self.with(|o| o.auth_level = Some(level))
    }

    pub fn policy(self, oid: &str) -> Self {
        let oid = ObjectIdentifier::new(oid).unwrap();
        self.with(|o| (o.policies, o.require_explicit_policy) = (vec![oid], true))
    }

    pub fn differs(mut self, why: &'static str) -> Self {
        self.differs = why;
        self
    }

    fn at(&self) -> u64 {
        now().checked_add_signed(self.days * 86_400).unwrap()
    }

    pub fn check(&self, pki: &Pki) -> PathOutcome {
        let anchors = Anchors::from_certs(pki.all(self.anchors)).unwrap();
        anchors.check(&PathQuery {
            at: self.at(),
            leaf: &pki.get(self.leaf),
            intermediates: &pki.all(self.above),
            crls: &pki.crls(self.crls),
            purpose: self.purpose,
            usage: self.usage,
            revocation: self.revocation,
            options: &self.options,
        })
    }

    pub fn openssl_accepts(&self, pki: &Pki) -> bool {
        let join =
            |names: &[&str]| -> String { names.iter().map(|n| pki.get(n).to_pem()).collect() };
        fs::write(pki.file("anchors"), join(self.anchors)).unwrap();
        fs::write(pki.file("above"), join(self.above)).unwrap();
        let crls = pki.crls(self.crls).concat();
        fs::write(pki.file("crls"), crls).unwrap();
        let at = self.at().to_string();
        let mut args = vec!["verify", "-attime", &at, "-no-CApath", "-no-CAstore"];
        args.extend(["-CAfile", "anchors.pem", "-purpose"]);
        args.push(match (self.purpose, self.usage) {
            (Purpose::Any, _) => "any",
            (_, Usage::Sign) => "smimesign",
            (_, Usage::Encrypt) => "smimeencrypt",
        });
        if !self.above.is_empty() {
            args.extend(["-untrusted", "above.pem"]);
        }
        if !self.crls.is_empty() {
            args.extend(["-CRLfile", "crls.pem"]);
        }
        match self.revocation {
            Revocation::Required => args.extend(["-crl_check", "-crl_check_all"]),
            Revocation::Leaf => args.push("-crl_check"),
            Revocation::Soft if !self.crls.is_empty() => args.push("-crl_check"),
            _ => {}
        }
        let depth = self.options.max_depth.map(|n| n.to_string());
        if let Some(depth) = &depth {
            args.extend(["-verify_depth", depth]);
        }
        let level = self.options.auth_level.map(|n| n.to_string());
        if let Some(level) = &level {
            args.extend(["-auth_level", level]);
        }
        if self.options.partial_chain {
            args.push("-partial_chain");
        }
        let policies: Vec<String> = self
            .options
            .policies
            .iter()
            .map(|p| p.to_string())
            .collect();
        for policy in &policies {
            args.extend(["-policy", policy]);
        }
        if self.options.require_explicit_policy {
            args.push("-explicit_policy");
        }
        if self.options.inhibit_policy_mapping {
            args.push("-inhibit_map");
        }
        if self.options.inhibit_any_policy {
            args.push("-inhibit_any");
        }
        let file = format!("{}.pem", self.leaf);
        args.push(&file);
        openssl(pki.folder(), &args).status.success()
    }
}
