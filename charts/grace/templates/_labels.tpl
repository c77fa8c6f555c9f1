{{- /*
Labels. `grace.selector` is unique to a release and a component, so that two releases in one namespace never
select each other's pods; it must not change during an upgrade.
Context: {root, component}.
*/ -}}

{{- define "grace.selector" -}}
app.kubernetes.io/name: grace
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- /* Pods carry no chart version: a new chart would otherwise restart a server that did not change. */ -}}
{{- define "grace.podLabels" -}}
{{ include "grace.selector" . }}
app.kubernetes.io/part-of: grace
grace/model: {{ .root.Values.model.name | quote }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "grace.labels" -}}
{{ include "grace.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}
