{{- /* Parts that the pods of every component share: user, nodes, image, resources, and what follows a failure. */ -}}

{{- /* Context: {root, overrides, token}: the component's own podSecurityContext, and whether it uses the Kubernetes API. */ -}}
{{- define "grace.pod" -}}
automountServiceAccountToken: {{ .token | default false }}
{{- /* vLLM would read a Service's variables as its settings, such as VLLM_PORT. */}}
enableServiceLinks: false
securityContext:
  {{- mustMergeOverwrite (deepCopy .root.Values.podSecurityContext) .overrides | toYaml | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.scheduling.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Context: {root, gpu}. The nodes on which a pod may run; `gpu` adds what the server needs from its node. */ -}}
{{- define "grace.placement" -}}
{{- $terms := list -}}
{{- with .root.Values.scheduling.region -}}
{{- $terms = append $terms (dict "key" "topology.kubernetes.io/region" "operator" "In" "values" (list .)) -}}
{{- end -}}
{{- if and .gpu (int .root.Values.gpu.count) -}}
{{- with .root.Values.gpu.products -}}
{{- $terms = append $terms (dict "key" "nvidia.com/gpu.product" "operator" "In" "values" .) -}}
{{- end -}}
{{- with int .root.Values.gpu.minCudaDriver -}}
{{- $terms = append $terms (dict "key" "nvidia.com/cuda.driver.major" "operator" "Gt" "values" (list (sub . 1 | toString))) -}}
{{- end -}}
{{- end -}}
{{- with .root.Values.scheduling.nodeSelector -}}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{ end -}}
{{- with $terms -}}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            {{- toYaml . | nindent 12 }}
{{- end -}}
{{- end -}}

{{- /* Context: an image's values. */ -}}
{{- define "grace.image" -}}
{{ with .registry }}{{ . }}/{{ end }}{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}

{{- define "grace.image.client" -}}
{{ include "grace.image" (merge (dict "tag" (.Values.queries.image.tag | default .Chart.AppVersion)) .Values.queries.image) }}
{{- end -}}

{{- /* Context: a map of quantities. Equal requests and limits, as strings: server-side apply accepts no numbers. */ -}}
{{- define "grace.resources.equal" -}}
{{- range $kind := list "requests" "limits" }}
{{ $kind }}:
{{- range $what, $quantity := $ }}
  {{ $what }}: {{ include "grace.quantity.text" $quantity | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /*
What a Job does after a pod has failed, if the cluster's version supports it. Exit code 2 is bad input: no retry helps. An
eviction or a preemption does not count as a retry. A new pod waits until the old one is gone, so that a file never has
two writers. Context: {root, containers}.
*/ -}}
{{- define "grace.jobFailure" -}}
{{- $version := .root.Capabilities.KubeVersion.Version -}}
{{- if semverCompare ">=1.29.0-0" $version }}
podReplacementPolicy: Failed
{{- end }}
{{- if semverCompare ">=1.26.0-0" $version }}
podFailurePolicy:
  rules:
    {{- range .containers }}
    - action: FailJob
      onExitCodes:
        containerName: {{ . }}
        operator: In
        values: [2]
    {{- end }}
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
{{- end }}
{{- end -}}

{{- /* Context: {name, spec}. Kubernetes cannot change a Job. So a changed Job gets another name, which ends in a checksum of its spec. */ -}}
{{- define "grace.jobName" -}}
{{ .name }}-{{ .spec | sha256sum | trunc 8 }}
{{- end -}}
