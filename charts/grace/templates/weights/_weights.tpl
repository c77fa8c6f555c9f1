{{- /* The download of the weights, as an init container of the server or as a Job of its own. */ -}}

{{- define "grace.weights.container" -}}
{{- $weights := .Values.weights -}}
name: weights
{{- if $weights.image.repository }}
image: {{ include "grace.image" $weights.image }}
imagePullPolicy: {{ $weights.image.pullPolicy }}
{{- else }}
image: {{ include "grace.image" .Values.server.image }}
imagePullPolicy: {{ .Values.server.image.pullPolicy }}
{{- end }}
command: [python3, -c]
args:
  # Its blank lines are left out: indentation would turn them into trailing spaces.
  - |
    {{- regexReplaceAll "\n\n+" (.Files.Get "files/download.py" | trim) "\n" | nindent 4 }}
  - {{ .Values.model.repository }}
  - {{ .Values.model.revision | quote }}
  - {{ .Values.model.weightsGiB | quote }}
env:
  - name: HF_HOME
    value: /weights
  - name: HOME
    value: /tmp
  # Plain HTTP needs little memory, however large a file is.
  - name: HF_HUB_DISABLE_XET
    value: "1"
  - name: HF_HUB_DISABLE_TELEMETRY
    value: "1"
  {{- with $weights.token.existingSecret }}
  - name: HF_TOKEN
    valueFrom:
      secretKeyRef:
        name: {{ . }}
        key: {{ $weights.token.key }}
  {{- end }}
resources:
  {{- include "grace.resources.equal" $weights.resources | trim | nindent 2 }}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
volumeMounts:
  - name: weights
    mountPath: /weights
  - name: weights-tmp
    mountPath: /tmp
{{- end -}}
