{{- /* server.kind Job: server and clients in one pod, which ends when the last client has ended. */ -}}
{{- define "grace.run.spec" -}}
{{- $job := .Values.server.job -}}
{{- $clients := include "grace.queries.names" . | fromJsonArray -}}
backoffLimit: {{ int $job.backoffLimit }}
activeDeadlineSeconds: {{ int $job.activeDeadlineSeconds }}
ttlSecondsAfterFinished: {{ int $job.ttlSecondsAfterFinished }}
{{- include "grace.jobFailure" (dict "root" . "containers" (eq .Values.weights.stage "init" | ternary (prepend $clients "weights") $clients)) }}
template:
  metadata:
    labels:
      {{- include "grace.podLabels" (dict "root" . "component" "server") | nindent 6 }}
    {{- $annotations := merge (include "grace.queries.annotations" . | fromYaml) .Values.server.podAnnotations }}
    {{- with $annotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never
    {{- include "grace.pod" (dict "root" . "overrides" .Values.server.podSecurityContext) | nindent 4 }}
    {{- with include "grace.placement" (dict "root" . "gpu" true) }}
    {{- . | nindent 4 }}
    {{- end }}
    terminationGracePeriodSeconds: {{ add 30 (int .Values.server.shutdownSeconds) }}
    initContainers:
      {{- if eq .Values.weights.stage "init" }}
      - {{ include "grace.weights.container" . | nindent 8 | trim }}
      {{- end }}
      - {{ include "grace.server.container" (dict "root" . "sidecar" true) | nindent 8 | trim }}
    containers:
      {{- range $experiment := $clients }}
      - {{ include "grace.queries.container" (dict "root" $ "name" $experiment "experiment" $experiment "settings" (get $.Values.queries.experiments $experiment | default dict)) | nindent 8 | trim }}
      {{- end }}
    volumes:
      {{- include "grace.server.volumes" . | nindent 6 }}
      {{- if eq .Values.weights.stage "init" }}
      - name: weights-tmp
        emptyDir: {}
      {{- end }}
      {{- include "grace.queries.volumes" . | nindent 6 }}
{{- end -}}
