{{/* The file of the configuration, and what of it counts at a start only. */}}

{{/* What a JSON string is, TOML reads alike. */}}
{{- define "countersign.toml" -}}
{{- $sqlite := include "countersign.sqlite" . -}}
{{- if $sqlite -}}
database_url = "sqlite:///var/lib/countersign/countersign.db"
{{- else -}}
database_url_file = "/etc/countersign/database/url"
{{- if .Values.database.directUrlKey }}
database_direct_url_file = "/etc/countersign/database/direct-url"
{{- end }}
{{- end }}
peppers_file = "/etc/countersign/peppers/peppers"
{{- if .Values.policy.toml }}
policy_file = "/etc/countersign/config/policy.toml"
{{- else if .Values.policy.existingConfigMap }}
policy_file = "/etc/countersign/policy/policy.toml"
{{- end }}
listen_addr = "0.0.0.0:50051"
metrics_addr = "0.0.0.0:9464"
{{- with .Values.config }}
token_prefix = {{ toJson .tokenPrefix }}
retired_token_prefixes = {{ toJson .retiredTokenPrefixes }}
staleness_bound = {{ toJson .stalenessBound }}
view_capacity = {{ .viewCapacity | int64 }}
reflection = {{ .reflection }}
drain_delay = {{ toJson .drainDelay }}
log = {{ toJson .log }}
decision_log = {{ toJson .decisionLog }}
event_retention = {{ toJson .eventRetention }}
{{- end }}
{{- if .Values.tls.enabled }}

[tls]
cert_file = "/etc/countersign/tls/tls.crt"
key_file = "/etc/countersign/tls/tls.key"
{{- if .Values.tls.clientCa.existingSecret }}
client_ca_file = "/etc/countersign/client-ca/ca.crt"
{{- end }}
{{- else }}
tls = "off"
{{- end }}
{{- range .Values.callers }}

[[callers]]
name = {{ toJson .name }}
{{- with .keyDigests }}
key_digests = {{ toJson . }}
{{- end }}
{{- with .spiffeIds }}
spiffe_ids = {{ toJson . }}
{{- end }}
{{- with .serviceAccounts }}
service_accounts = {{ toJson . }}
{{- end }}
{{- with .subjects }}
subjects = [
{{- range . }}
  {issuer = {{ toJson .issuer }}, subject = {{ toJson .subject }}},
{{- end }}
]
{{- end }}
grants = {{ toJson .grants }}
{{- with .actsFor }}
acts_for = {{ toJson . }}
{{- end }}
{{- end }}
{{- include "countersign.issuers" . }}
{{- end }}

{{/* Another word when pods must start anew. All else they take up by themselves, so its change restarts nothing. */}}
{{- define "countersign.restartChecksum" -}}
{{- $config := omit .Values.config "tokenPrefix" "retiredTokenPrefixes" "log" "eventRetention" -}}
{{- toJson (list $config .Values.database .Values.tls.enabled) | sha256sum | trunc 16 -}}
{{- end }}
