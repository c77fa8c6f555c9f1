{{- /*
The server's key: read from its Secret where the cluster has it, drawn for a new release, and unknown where this
render sees no cluster. A key drawn there would be another at each render, while the server kept the one before.
*/ -}}

{{- /*
"true" where this render sees a cluster. Without one, `helm template` takes for given every API version that Helm's
own library knows, also those that Kubernetes has long dropped; with `--dry-run=server` it does so, too, but finds
what every namespace holds.
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

{{- /* The key, encoded as a Secret holds it; nothing where it is unknown. */ -}}
{{- define "grace.key" -}}
{{- include "grace.key.find" . -}}
{{ .Values.server.apiKey.secret.key }}
{{- end -}}

{{- /*
An annotation for pods that read the key: a changed key replaces the server, and the Jobs, whose names are those of
what they are. Everybody who may read pods reads it: a generated key cannot be guessed from it, and a key of one's
own, which may be a word, is mixed with its Secret's uid.
*/ -}}
{{- define "grace.key.annotation" -}}
{{- with include "grace.key" . -}}
{{- $mixed := . -}}
{{- if $.Values.server.apiKey.existingSecret -}}{{- $mixed = print $.Values.server.apiKey.secret.uid . -}}{{- end -}}
checksum/api-key: {{ $mixed | sha256sum }}
{{- end -}}
{{- end -}}

{{- define "grace.policy.key" -}}
{{- include "grace.key.find" . -}}
{{- $own := .Values.server.apiKey -}}
{{- $make := printf "kubectl create secret generic NAME -n %s --from-literal=%s=\"$(openssl rand -hex 20)\"" .Release.Namespace $own.key -}}
{{- if $own.existingSecret -}}
{{- if and $own.secret.uid (not $own.secret.key) }}
server.apiKey.existingSecret is {{ $own.existingSecret }}: that Secret has no key {{ $own.key }}, or nothing in it; set server.apiKey.key to one that it has ({{ join ", " $own.secret.keys }}).
{{- else if regexMatch "\\s" ($own.secret.key | b64dec) }}
server.apiKey.existingSecret is {{ $own.existingSecret }}: its key {{ $own.key }} holds a space or a line break, which the server takes for part of the key and clients do not; make it anew ({{ $make }}).
{{- end -}}
{{- else if and (not $own.secret.key) (.Capabilities.APIVersions.Has "v1/Secret") }}
server.apiKey.existingSecret is empty: this render was told what the cluster offers, as by Argo CD, but cannot look into it, so it cannot know the key that the server has; make a Secret ({{ $make }}) and name it there.
{{- end -}}
{{- end -}}
