{{- /* The Job that stops the server when the last query Job has ended. */ -}}

{{- /* Names of the query Jobs, one a line. */ -}}
{{- define "grace.autostop.jobs" -}}
{{- range $experiment := include "grace.queries.names" . | fromJsonArray }}
{{ include "grace.queries.jobName" (dict "root" $ "experiment" $experiment "settings" (get $.Values.queries.experiments $experiment | default dict)) }}
{{- end }}
{{- end -}}

{{- define "grace.autostop.enabled" -}}
{{- if and .Values.autoStop (eq .Values.server.kind "Deployment") (include "grace.autostop.jobs" . | trim) -}}true{{- end -}}
{{- end -}}

{{- define "grace.autostop.spec" -}}
backoffLimit: 4
# Query Jobs end at their own deadline, if not before; what is left is for an API that is away.
activeDeadlineSeconds: {{ min 86399 (add 1800 (int .Values.queries.activeDeadlineSeconds)) }}
ttlSecondsAfterFinished: {{ int .Values.queries.ttlSecondsAfterFinished }}
template:
  metadata:
    labels:
      {{- include "grace.podLabels" (dict "root" . "component" "autostop") | nindent 6 }}
    annotations:
      # Every upgrade and rollback starts the server again, and so needs another Job.
      grace/revision: {{ .Release.Revision | quote }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ include "grace.names.account" . }}
    {{- include "grace.pod" (dict "root" . "overrides" dict "token" true) | nindent 4 }}
    {{- with include "grace.placement" (dict "root" . "gpu" false) }}
    {{- . | nindent 4 }}
    {{- end }}
    terminationGracePeriodSeconds: 5
    containers:
      - name: autostop
        image: {{ include "grace.image.client" . }}
        imagePullPolicy: {{ .Values.queries.image.pullPolicy }}
        command: [python, -m, grace_client.deploy.autostop]
        args:
          - --deployment={{ include "grace.names.deployment" . }}
          {{- range include "grace.autostop.jobs" . | trim | splitList "\n" }}
          - {{ . }}
          {{- end }}
        resources:
          {{- include "grace.resources.equal" (dict "cpu" "100m" "memory" "128Mi" "ephemeral-storage" "50Mi") | trim | nindent 10 }}
        securityContext:
          {{- toYaml .Values.containerSecurityContext | nindent 10 }}
{{- end -}}
