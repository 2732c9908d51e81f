//! For each alert, series with which it fires and others with which it is quiet. A sample a minute, in Prometheus's notation.

/// Series, each with what is in its braces besides the release and the pod, and its values.
pub(super) type Series = &'static [(&'static str, &'static str, &'static str)];

pub(super) struct Case {
    pub(super) alert: &'static str,
    /// In minutes.
    pub(super) at: u32,
    pub(super) firing: Series,
    pub(super) quiet: Series,
    /// Of the alert that fires, beside its severity and what `of` says.
    pub(super) labels: &'static [(&'static str, &'static str)],
    pub(super) of: Of,
}

/// Of what an alert tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Pod,
    /// Of all pods of the release, named.
    Release,
    /// Of all, unnamed.
    Everything,
}

const CALLS: &str = "rpc_server_call_duration_seconds_count";
const BUCKETS: &str = "rpc_server_call_duration_seconds_bucket";
const DECISIONS: &str = "countersign_authorize_decisions_total";
const DENIED: &str = r#"outcome="DENY",reason="UNKNOWN_TOKEN""#;
const READS: &str = "countersign_view_feed_reads_total";
const OPEN: &str = "countersign_database_connections_open";
const IDLE: &str = "countersign_database_connections_idle";
const CERTIFICATE_END: &str = "countersign_tls_certificate_not_after_seconds";
const ANSWERED: &str = r#"rpc_method="m",code="OK""#;
const POINT_1: &str = r#"rpc_method="countersign.v1.AuthorizationService/Authorize",le="0.1""#;
const POINT_25: &str = r#"rpc_method="countersign.v1.AuthorizationService/Authorize",le="0.25""#;
const ALL: &str = r#"rpc_method="countersign.v1.AuthorizationService/Authorize",le="+Inf""#;

pub(super) const CASES: &[Case] = &[
    Case {
        alert: "CountersignAbsent",
        at: 10,
        // Scraped at first, and no more.
        firing: &[("countersign_build_info", "", "1x2 stale")],
        quiet: &[("countersign_build_info", "", "1x20")],
        labels: &[],
        of: Of::Release,
    },
    Case {
        alert: "CountersignViewStale",
        at: 10,
        firing: &[("countersign_view_age_seconds", "", "0.2x5 1.1x10")],
        quiet: &[("countersign_view_age_seconds", "", "0.9x20")],
        labels: &[],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignViewAging",
        at: 15,
        firing: &[("countersign_view_age_seconds", "", "0.8x20")],
        // As old as it can be where the feed is read four times a second.
        quiet: &[("countersign_view_age_seconds", "", "0.25x20")],
        labels: &[],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignUnavailable",
        at: 15,
        firing: &[
            (CALLS, ANSWERED, "0+1000x20"),
            (CALLS, r#"rpc_method="m",code="UNAVAILABLE""#, "0+20x20"),
        ],
        // What callers do wrong is no outage.
        quiet: &[
            (CALLS, ANSWERED, "0+1000x20"),
            (CALLS, r#"rpc_method="m",code="UNAVAILABLE""#, "0+5x20"),
            (CALLS, r#"rpc_method="m",code="NOT_FOUND""#, "0+500x20"),
        ],
        labels: &[],
        of: Of::Everything,
    },
    Case {
        alert: "CountersignOverloaded",
        at: 15,
        firing: &[
            (CALLS, ANSWERED, "0+1000x20"),
            (
                CALLS,
                r#"rpc_method="m",code="RESOURCE_EXHAUSTED""#,
                "0+20x20",
            ),
        ],
        quiet: &[
            (CALLS, ANSWERED, "0+1000x20"),
            (
                CALLS,
                r#"rpc_method="m",code="RESOURCE_EXHAUSTED""#,
                "0+5x20",
            ),
        ],
        labels: &[],
        of: Of::Everything,
    },
    Case {
        alert: "CountersignSlow",
        at: 25,
        firing: &[
            (BUCKETS, POINT_1, "0+900x30"),
            (BUCKETS, POINT_25, "0+1000x30"),
            (BUCKETS, ALL, "0+1000x30"),
        ],
        quiet: &[
            (BUCKETS, POINT_1, "0+995x30"),
            (BUCKETS, POINT_25, "0+1000x30"),
            (BUCKETS, ALL, "0+1000x30"),
        ],
        labels: &[],
        of: Of::Everything,
    },
    Case {
        alert: "CountersignDenialsSpike",
        at: 90,
        // One in ten seconds for an hour, then ten a second.
        firing: &[(DECISIONS, DENIED, "0+6x70 1020+600x20")],
        // Many, as ever.
        quiet: &[(DECISIONS, DENIED, "0+600x95")],
        labels: &[("reason", "UNKNOWN_TOKEN")],
        of: Of::Everything,
    },
    Case {
        alert: "CountersignStrangers",
        at: 15,
        firing: &[(
            "countersign_authentication_failures_total",
            r#"reason="CREDENTIAL_INVALID""#,
            "0+120x20",
        )],
        quiet: &[(
            "countersign_authentication_failures_total",
            r#"reason="CREDENTIAL_INVALID""#,
            "0+6x20",
        )],
        labels: &[("reason", "CREDENTIAL_INVALID")],
        of: Of::Everything,
    },
    Case {
        alert: "CountersignFeedLag",
        at: 15,
        firing: &[("countersign_view_lag_revisions", "", "800x20")],
        quiet: &[("countersign_view_lag_revisions", "", "3 800 3x20")],
        labels: &[],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignFeedLag",
        at: 15,
        firing: &[
            (READS, r#"result="READ""#, "0+180x20"),
            (READS, r#"result="FAILED""#, "0+60x20"),
        ],
        quiet: &[
            (READS, r#"result="READ""#, "0+240x20"),
            (READS, r#"result="FAILED""#, "0+1x20"),
        ],
        labels: &[],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignFeedReplaced",
        at: 10,
        firing: &[(READS, r#"result="RESYNC""#, "0x5 1x10")],
        // Once, in a former life of the server.
        quiet: &[(READS, r#"result="RESYNC""#, "1x5 0x10")],
        labels: &[("result", "RESYNC")],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignClockSkew",
        at: 10,
        firing: &[("countersign_database_clock_skew_seconds", "", "-5x20")],
        quiet: &[("countersign_database_clock_skew_seconds", "", "0.5x20")],
        labels: &[],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignPoolExhausted",
        at: 15,
        firing: &[
            (OPEN, r#"pool="write""#, "6x20"),
            (IDLE, r#"pool="write""#, "0x20"),
        ],
        // All in use at one scrape in two; and a pool that never opened any.
        quiet: &[
            (OPEN, r#"pool="write""#, "6x20"),
            (
                IDLE,
                r#"pool="write""#,
                "0 1 0 2 0 1 0 1 0 3 0 1 0 1 0 2 0 1 0 1",
            ),
            (OPEN, r#"pool="read""#, "0x20"),
            (IDLE, r#"pool="read""#, "0x20"),
        ],
        labels: &[("pool", "write")],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignCertificateExpiry",
        at: 20,
        // Time begins at 0, and a week is 604,800 s.
        firing: &[(CERTIFICATE_END, "", "604000x20")],
        quiet: &[(CERTIFICATE_END, "", "607000x20")],
        labels: &[],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignReloadRefused",
        at: 20,
        firing: &[(
            "countersign_reloads_total",
            r#"outcome="REFUSED""#,
            "0x5 1x30",
        )],
        quiet: &[(
            "countersign_reloads_total",
            r#"outcome="APPLIED""#,
            "0x5 1x30",
        )],
        labels: &[("outcome", "REFUSED")],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignIssuerUnreachable",
        at: 20,
        firing: &[("countersign_issuer_keys_age_seconds", "", "300+60x30")],
        // The longest that there is between two looks.
        quiet: &[("countersign_issuer_keys_age_seconds", "", "300x30")],
        labels: &[],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignPoliciesDiffer",
        at: 20,
        firing: &[
            ("countersign_policy_info", r#"hash="a""#, "1x30"),
            ("countersign_policy_info", r#"hash="b""#, "1x30"),
        ],
        // While a change goes round.
        quiet: &[
            ("countersign_policy_info", r#"hash="a""#, "1x8 stale"),
            ("countersign_policy_info", r#"hash="b""#, "_x5 1x30"),
        ],
        labels: &[],
        of: Of::Everything,
    },
    Case {
        alert: "CountersignTokenReused",
        at: 20,
        firing: &[("countersign_tokens_reused_total", "", "0x5 1x30")],
        quiet: &[("countersign_tokens_reused_total", "", "4x30")],
        labels: &[],
        of: Of::Pod,
    },
    Case {
        alert: "CountersignDecisionsUnlogged",
        at: 20,
        firing: &[("countersign_decisions_unlogged_total", "", "0+5x30")],
        quiet: &[("countersign_decisions_unlogged_total", "", "7x30")],
        labels: &[],
        of: Of::Pod,
    },
];
