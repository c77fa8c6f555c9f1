{{- /*
The server's key. If the cluster has its Secret, the key is read from there. For a new release it is drawn at random.
If this render sees no cluster, the key is unknown: each render would draw another key, and the server keeps its own.
*/ -}}

{{- /*
"true" if this render sees a cluster. Without a cluster, `helm template` assumes every API version that Helm's library
knows, including versions that Kubernetes no longer has. With `--dry-run=server` it assumes them too, but then it finds
the ConfigMap that every namespace has.
*/ -}}
{{- define "grace.key.clusterSeen" -}}
{{- if not (.Capabilities.APIVersions.Has "apps/v1beta1") -}}
true
{{- else if lookup "v1" "ConfigMap" .Release.Namespace "kube-root-ca.crt" -}}
true
{{- end -}}
{{- end -}}

{{- /* Reads or draws once, because every template of a render must have the same key. */ -}}
{{- define "grace.key.find" -}}
{{- $own := .Values.server.apiKey -}}
{{- if not (hasKey $own "secret") -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace (include "grace.names.apiKey" .) | default dict -}}
{{- $key := dig "data" $own.key "" $secret -}}
{{- if and (not $key) (not $own.existingSecret) (include "grace.key.clusterSeen" .) -}}
{{- $key = randAlphaNum 40 | b64enc -}}
{{- end -}}
{{- $_ := set $own "secret" (dict "key" $key "uid" (dig "metadata" "uid" "" $secret) "keys" (dig "data" dict $secret | keys | sortAlpha)) -}}
{{- end -}}
{{- end -}}

{{- /* The key in base64, as in a Secret; nothing if it is unknown. */ -}}
{{- define "grace.key" -}}
{{- include "grace.key.find" . -}}
{{ .Values.server.apiKey.secret.key }}
{{- end -}}

{{- /*
An annotation for pods that read the key: a changed key replaces the server and the Jobs. Everybody who can read pods can
read it. Nobody can guess a generated key from its checksum. A user's own key may be a word, so the uid of its Secret is
part of the checksum.
*/ -}}
{{- define "grace.key.annotation" -}}
{{- with include "grace.key" . -}}
{{- $mixed := . -}}
{{- if $.Values.server.apiKey.existingSecret -}}{{- $mixed = print $.Values.server.apiKey.secret.uid . -}}{{- end -}}
checksum/api-key: {{ $mixed | sha256sum }}
{{- end -}}
{{- end -}}

{{- define "grace.rules.key" -}}
{{- include "grace.key.find" . -}}
{{- $own := .Values.server.apiKey -}}
{{- $make := printf "kubectl create secret generic NAME -n %s --from-literal=%s=\"$(openssl rand -hex 20)\"" .Release.Namespace $own.key -}}
{{- if $own.existingSecret -}}
{{- if and $own.secret.uid (not $own.secret.key) }}
server.apiKey.existingSecret is {{ $own.existingSecret }}: that Secret has no key {{ $own.key }}, or the key is empty; set server.apiKey.key to one of its keys ({{ join ", " $own.secret.keys }}).
{{- else if regexMatch "\\s" ($own.secret.key | b64dec) }}
server.apiKey.existingSecret is {{ $own.existingSecret }}: its key {{ $own.key }} contains a space or a line break, which the server counts as part of the key and clients do not; delete the Secret and create it again ({{ $make }}).
{{- end -}}
{{- else if and (not $own.secret.key) (.Capabilities.APIVersions.Has "v1/Secret") }}
server.apiKey.existingSecret is empty: this chart is rendered for a cluster that it cannot read, as by Argo CD, so it does not know the key of the server; create a Secret ({{ $make }}) and name it there.
{{- end -}}
{{- end -}}
