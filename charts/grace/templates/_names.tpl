{{- /*
The name of every object, {type}-{model}-{purpose}. No other file composes a name.
*/ -}}

{{- define "grace.name" -}}
{{ .Values.nameOverride | default .Values.model.name }}
{{- end -}}

{{- define "grace.names.deployment" -}}deployment-{{ include "grace.name" . }}{{- end -}}
{{- define "grace.names.service" -}}service-{{ include "grace.name" . }}{{- end -}}
{{- define "grace.names.jobRun" -}}job-run-{{ include "grace.name" . }}{{- end -}}
{{- define "grace.names.jobWeights" -}}job-weights-{{ include "grace.name" . }}{{- end -}}
{{- define "grace.names.jobTest" -}}job-test-{{ include "grace.name" . }}{{- end -}}
{{- define "grace.names.jobAutostop" -}}job-autostop-{{ include "grace.name" . }}{{- end -}}
{{- define "grace.names.account" -}}serviceaccount-{{ include "grace.name" . }}-autostop{{- end -}}
{{- define "grace.names.role" -}}role-{{ include "grace.name" . }}-autostop{{- end -}}
{{- define "grace.names.roleBinding" -}}rolebinding-{{ include "grace.name" . }}-autostop{{- end -}}
{{- define "grace.names.jobFiles" -}}job-files-{{ include "grace.name" . }}{{- end -}}
{{- define "grace.names.study" -}}configmap-{{ include "grace.name" . }}-study{{- end -}}
{{- define "grace.names.trials" -}}configmap-{{ include "grace.name" . }}-trials{{- end -}}
{{- define "grace.names.logging" -}}configmap-{{ include "grace.name" . }}-logging{{- end -}}
{{- define "grace.names.networkPolicyServer" -}}networkpolicy-{{ include "grace.name" . }}-server{{- end -}}
{{- define "grace.names.networkPolicyClients" -}}networkpolicy-{{ include "grace.name" . }}-clients{{- end -}}
{{- define "grace.names.monitor" -}}monitor-{{ include "grace.name" . }}{{- end -}}

{{- /*
Kubernetes allows 63 characters: 9 for the checksum at the end, 2 for the index of a replicate's pod. What is cut off a
long experiment's name is in the checksum, too.
*/ -}}
{{- define "grace.names.jobQuery" -}}
{{- $model := include "grace.name" .root -}}
job-query-{{ .experiment | trunc (sub 41 (len $model) | int) | trimSuffix "-" }}-{{ $model }}
{{- end -}}

{{- /* The Secret with the server's key: the user's own, or the generated one. */ -}}
{{- define "grace.names.apiKey" -}}
{{ .Values.server.apiKey.existingSecret | default (printf "secret-%s-api-key" (include "grace.name" .)) }}
{{- end -}}

{{- /* A claim: the user's own, the user's name for a shared one, or the model's. */ -}}
{{- define "grace.names.weights" -}}
{{- with .Values.weights.storage -}}
{{ .existingClaim | default .name | default (printf "pvc-model-weights-%s" $.Values.model.name) }}
{{- end -}}
{{- end -}}

{{- define "grace.names.shared" -}}
{{- with index .root.Values.storage .purpose -}}
{{ .existingClaim | default .name }}
{{- end -}}
{{- end -}}
