{{- /*
The rules of the cluster and of the models. Each helper prints one line for each violation. templates/rules.yaml
refuses the release with all these lines at once. P-numbers are those of `grace policy rules`.
*/ -}}

{{- define "grace.rules" -}}
{{- if eq .Release.Namespace "default" }}
The namespace is "default": shared clusters do not allow this; name your own namespace with --namespace.
{{- end }}
{{- include "grace.rules.gpus" . }}
{{- include "grace.rules.dtype" . }}
{{- include "grace.rules.memory" . }}
{{- include "grace.rules.startup" . }}
{{- include "grace.rules.arguments" . }}
{{- include "grace.rules.resources" . }}
{{- include "grace.rules.client" . }}
{{- include "grace.rules.images" . }}
{{- include "grace.rules.weights" . }}
{{- include "grace.rules.storage" . }}
{{- include "grace.rules.jobs" . }}
{{- include "grace.rules.secrets" . }}
{{- include "grace.rules.key" . }}
{{- include "grace.rules.study" . }}
{{- include "grace.rules.trials" . }}
{{- $priority := .Values.scheduling.priorityClassName }}
{{- $priorities := list "" "armada-default" "owner-no-preempt" "opportunistic" "opportunistic2" }}
{{- if not (has $priority $priorities) }}
scheduling.priorityClassName is {{ $priority }}: only {{ rest $priorities | join ", " }} or none are allowed (P14).
{{- end }}
{{- end -}}

{{- define "grace.rules.gpus" -}}
{{- $gpus := int .Values.gpu.count }}
{{- $parallel := int .Values.server.tensorParallelSize }}
{{- if gt $gpus 8 }}
gpu.count is {{ $gpus }}: a pod may use at most 8 GPUs, because they are on one node (P21).
{{- else if and (gt $gpus 2) (not (trim .Values.policy.allowMoreGpus)) }}
gpu.count is {{ $gpus }}: a server may use at most 2 GPUs (P9); if this one needs more, write the reason in policy.allowMoreGpus.
{{- end }}
{{- if and $parallel (ne $parallel $gpus) }}
server.tensorParallelSize is {{ $parallel }}: it must equal gpu.count, which is {{ $gpus }}; set it to 0.
{{- end }}
{{- end -}}

{{- define "grace.rules.dtype" -}}
{{- $dtype := .Values.model.dtype }}
{{- if and (eq $dtype "float16") (not .Values.model.float16) }}
model.dtype is float16: {{ .Values.model.repository }} needs bfloat16.
{{- else if and (int .Values.gpu.count) (not .Values.gpu.bfloat16) (has $dtype (list "auto" "bfloat16")) }}
{{- $gpu := printf "gpu.bfloat16 is false (%s)" (.Values.gpu.products | join ", " | default .Values.gpu.resource) }}
{{- if .Values.model.float16 }}
{{ $gpu }}: with model.dtype {{ $dtype }} {{ .Values.model.repository }} cannot run on such a GPU; set model.dtype to float16.
{{- else }}
{{ $gpu }}: {{ .Values.model.repository }} needs bfloat16; choose another GPU.
{{- end }}
{{- end }}
{{- end -}}

{{- /* GPU memory in hundredths of a GiB: the need is rounded up, the supply down. */ -}}
{{- define "grace.rules.memory" -}}
{{- $gpus := int .Values.gpu.count }}
{{- if $gpus }}
{{- $usable := mulf $gpus .Values.gpu.memoryGiB .Values.gpu.memoryUtilization }}
{{- $needed := addf .Values.model.weightsGiB (mulf $gpus .Values.gpu.reserveGiB) }}
{{- if eq .Values.model.dtype "float32" }}
{{- $needed = addf $needed .Values.model.weightsGiB }}
{{- end }}
{{- if gt (ceil (mulf 100 $needed)) (floor (mulf 100 $usable)) }}
gpu.memoryGiB is {{ .Values.gpu.memoryGiB }}: {{ .Values.model.repository }} needs {{ printf "%.1f" $needed }} GiB (weights {{ .Values.model.weightsGiB }}{{ if eq .Values.model.dtype "float32" }}, twice that as float32{{ end }}, and {{ .Values.gpu.reserveGiB }} for each GPU), but {{ $gpus }} × {{ .Values.gpu.memoryGiB }} GiB at gpu.memoryUtilization {{ .Values.gpu.memoryUtilization }} give only {{ printf "%.1f" $usable }}; choose larger GPUs, more of them, or a quantised repository.
{{- end }}
{{- end }}
{{- end -}}

{{- define "grace.rules.startup" -}}
{{- $given := int .Values.server.startup.budgetSeconds }}
{{- $needed := int (include "grace.seconds.load" .) }}
{{- if and $given (lt $given $needed) }}
server.startup.budgetSeconds is {{ $given }}: reading {{ .Values.model.weightsGiB }} GiB at {{ .Values.server.startup.readMBps }} MB/s and preparing the engine take longer; set at least {{ $needed }}, or 0 to compute it.
{{- end }}
{{- $deadline := int .Values.queries.activeDeadlineSeconds }}
{{- $name := "queries.activeDeadlineSeconds" }}
{{- if eq .Values.server.kind "Job" }}
{{- $deadline = int .Values.server.job.activeDeadlineSeconds }}
{{- $name = "server.job.activeDeadlineSeconds" }}
{{- end }}
{{- $wait := mul 60 (int (include "grace.minutes.wait" .)) }}
{{- if ge $wait $deadline }}
{{ $name }} is {{ $deadline }}: the server may need {{ $wait }} s until its first answer (queries.waitMinutes, or the queue, the download and the start-up budget together); set more than that, and less than a day.
{{- end }}
{{- end -}}

{{- define "grace.rules.resources" -}}
{{- $requests := .Values.server.resources.requests }}
{{- $limits := .Values.server.resources.limits }}
{{- range $what := list "cpu" "memory" "ephemeral-storage" }}
{{- $request := include "grace.quantity.text" (get $requests $what) }}
{{- $limit := include "grace.quantity.text" (get $limits $what) }}
{{- $bad := include "grace.rules.quantity" (dict "name" (printf "server.resources.requests.%s" $what) "text" $request) }}
{{- $bad = print $bad (include "grace.rules.quantity" (dict "name" (printf "server.resources.limits.%s" $what) "text" $limit)) }}
{{- $bad }}
{{- if not $bad }}
{{- if eq (include "grace.quantity.exceeds" (dict "a" $limit "aBy" 5 "b" $request "bBy" 6)) "true" }}
server.resources.limits.{{ $what }} is {{ $limit }}: a limit may be at most 1.2 times its request (P1), so it may be at most {{ include "grace.quantity.largestLimit" $request }} for the request of {{ $request }}.
{{- else if eq (include "grace.quantity.exceeds" (dict "a" $request "aBy" 1 "b" $limit "bBy" 1)) "true" }}
server.resources.limits.{{ $what }} is {{ $limit }}: a limit may not be below its request (P18), so it must be at least {{ $request }}.
{{- end }}
{{- end }}
{{- end }}
{{- $memory := include "grace.quantity.text" $limits.memory }}
{{- $shm := include "grace.quantity.text" .Values.server.shmSize }}
{{- if and (eq (include "grace.quantity.valid" $memory) "true") (not (include "grace.rules.quantity" (dict "name" "server.shmSize" "text" $shm))) }}
{{- if eq (include "grace.quantity.exceeds" (dict "a" $shm "aBy" 2 "b" $memory "bBy" 1)) "true" }}
server.shmSize is {{ $shm }}: shared memory counts against server.resources.limits.memory (P16), so it may be at most half of {{ $memory }}.
{{- end }}
{{- else }}
{{- include "grace.rules.quantity" (dict "name" "server.shmSize" "text" $shm) }}
{{- end }}
{{- end -}}

{{- /* Context: {name, text}. */ -}}
{{- define "grace.rules.quantity" -}}
{{- if ne (include "grace.quantity.valid" .text) "true" }}
{{ .name }} is {{ .text }}: not a quantity with at most three decimals, such as 9.6, 9600m or 76.8Gi.
{{- else if ne (include "grace.quantity.exceeds" (dict "a" .text "aBy" 1 "b" "0" "bBy" 1)) "true" }}
{{ .name }} is {{ .text }}: it must be above 0.
{{- end }}
{{- end -}}

{{- /* The rule on utilisation does not count pods of at most one core and 2 GB. Their limit is their request. */ -}}
{{- define "grace.rules.client" -}}
{{- $values := .Values }}
{{- range $component := list "queries" "weights" }}
{{- range $what, $quantity := (get $values $component).resources }}
{{- $text := include "grace.quantity.text" $quantity }}
{{- $name := printf "%s.resources.%s" $component $what }}
{{- $bad := include "grace.rules.quantity" (dict "name" $name "text" $text) }}
{{- $bad }}
{{- $largest := get (dict "cpu" "1" "memory" "2G") $what }}
{{- if and $largest (eq $component "queries") (not $bad) }}
{{- if eq (include "grace.quantity.exceeds" (dict "a" $text "aBy" 1 "b" $largest "bBy" 1)) "true" }}
{{ $name }} is {{ $text }}: only pods of at most 1 CPU and 2 GB may be idle (P8), so it may be at most {{ $largest }}.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "grace.rules.images" -}}
{{- $images := dict "server.image" .Values.server.image "weights.image" .Values.weights.image "queries.image" .Values.queries.image }}
{{- range $name, $image := $images }}
{{- if eq $image.tag "latest" }}
{{ $name }}.tag is latest: its image may change at any time; name a version, and its digest in {{ $name }}.digest.
{{- end }}
{{- if contains "://" $image.registry }}
{{ $name }}.registry is {{ $image.registry }}: an image's name has no scheme; write {{ regexReplaceAll "^.*://" $image.registry "" | trimSuffix "/" }}.
{{- else if and $image.registry (not (regexMatch "^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$" $image.registry)) }}
{{ $name }}.registry is {{ $image.registry }}: not a host, perhaps with a port, and a path in lower case, such as registry.example.org/lab.
{{- else if and $image.registry $image.repository (hasSuffix (print "/" $image.repository) $image.registry) }}
{{ $name }}.registry is {{ $image.registry }}: it already ends in the image's name, {{ $image.repository }}, which {{ $name }}.repository adds; write {{ trimSuffix (print "/" $image.repository) $image.registry }}.
{{- end }}
{{- if contains "://" $image.repository }}
{{ $name }}.repository is {{ $image.repository }}: an image's name has no scheme; write {{ regexReplaceAll "^.*://" $image.repository "" }}.
{{- else if contains "@" $image.repository }}
{{ $name }}.repository is {{ $image.repository }}: its digest belongs in {{ $name }}.digest.
{{- else if regexMatch ":[^/]*$" $image.repository }}
{{ $name }}.repository is {{ $image.repository }}: its version belongs in {{ $name }}.tag.
{{- else if contains ":" $image.repository }}
{{ $name }}.repository is {{ $image.repository }}: its registry belongs in {{ $name }}.registry.
{{- else if and $image.repository (not (regexMatch "^[a-z0-9]+([._/-]+[a-z0-9]+)*$" $image.repository)) }}
{{ $name }}.repository is {{ $image.repository }}: an image's name has lower-case letters and digits, and . _ - / between them.
{{- else if not (or $image.repository (eq $name "weights.image")) }}
{{ $name }}.repository is empty: name the image.
{{- else if and $image.repository (not $image.tag) (not $image.digest) (ne $name "queries.image") }}
{{ $name }}.tag is empty: name the version of {{ $image.repository }}, or its digest in {{ $name }}.digest.
{{- end }}
{{- end }}
{{- end -}}

{{- define "grace.rules.weights" -}}
{{- $weights := .Values.weights }}
{{- if and .Values.model.gated (ne $weights.stage "none") (not $weights.token.existingSecret) }}
model.gated is true: the download of {{ .Values.model.repository }} needs a Hugging Face token; create a Secret (kubectl create secret generic hf-token --from-file=token=FILE) and name it in weights.token.existingSecret.
{{- end }}
{{- if and (ne $weights.stage "none") (not $weights.storage.enabled) }}
weights.storage.enabled is false: with weights.stage {{ $weights.stage }} the download has no claim; set it to true, or set weights.stage to none.
{{- end }}
{{- if and $weights.storage.enabled (not $weights.storage.existingClaim) $weights.storage.size }}
{{- $size := include "grace.quantity.text" $weights.storage.size }}
{{- $bad := include "grace.rules.quantity" (dict "name" "weights.storage.size" "text" $size) }}
{{- $bad }}
{{- if not $bad }}
{{- $smallest := printf "%.0fGi" (ceil (mulf 1.05 .Values.model.weightsGiB)) }}
{{- if eq (include "grace.quantity.exceeds" (dict "a" $smallest "aBy" 1 "b" $size "bBy" 1)) "true" }}
weights.storage.size is {{ $size }}: {{ .Values.model.weightsGiB }} GiB of weights and their file system need at least {{ $smallest }}.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "grace.rules.storage" -}}
{{- $claims := dict "weights.storage" .Values.weights.storage }}
{{- range $purpose, $claim := .Values.storage }}
{{- $claims = merge $claims (dict (printf "storage.%s" $purpose) $claim) }}
{{- end }}
{{- range $name, $claim := $claims }}
{{- if eq $claim.class "rook-cephfs-ucsd" }}
{{ $name }}.class is rook-cephfs-ucsd: nobody may use this class (P13); use rook-cephfs for a shared claim.
{{- else if eq $claim.class "ceph-rbd" }}
{{ $name }}.class is ceph-rbd: a claim of this class never binds (P20); use rook-ceph-block.
{{- else if and (hasPrefix "rook-ceph-block" $claim.class) (ne $claim.accessMode "ReadWriteOnce") }}
{{ $name }}.accessMode is {{ $claim.accessMode }}: class {{ $claim.class }} is ReadWriteOnce only; for a shared claim use rook-cephfs.
{{- end }}
{{- if ne $name "weights.storage" }}
{{- include "grace.rules.quantity" (dict "name" (printf "%s.size" $name) "text" (include "grace.quantity.text" $claim.size)) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "grace.rules.jobs" -}}
{{- $version := .Capabilities.KubeVersion.Version }}
{{- $enabled := include "grace.queries.names" . | fromJsonArray }}
{{- $jobMode := eq .Values.server.kind "Job" }}
{{- range $name, $experiment := .Values.queries.experiments }}
{{- with get (dict "none" "on" "template" "off" "prompt" "off-by-prompt") (toString $experiment.reasoning) }}
queries.experiments.{{ $name }}.reasoning is {{ $experiment.reasoning }}: this value has a new name, {{ . }}.
{{- end }}
{{- if and (has $name $enabled) $experiment.indexed }}
{{- if $jobMode }}
queries.experiments.{{ $name }}.indexed is true: with server.kind Job all clients share one pod; set it to false, and one run asks all replicates.
{{- else if semverCompare "<1.24.0-0" $version }}
queries.experiments.{{ $name }}.indexed is true: Indexed Jobs need Kubernetes 1.24, and this cluster is {{ $version }}.
{{- end }}
{{- if gt (int $experiment.replicates) 10 }}
queries.experiments.{{ $name }}.replicates is {{ $experiment.replicates }}: an Indexed Job has at most 10 replicates, because the replicate is the last digit of its seed.
{{- else if not $experiment.replicates }}
queries.experiments.{{ $name }}.indexed is true: an Indexed Job needs the number of replicates; set queries.experiments.{{ $name }}.replicates.
{{- end }}
{{- end }}
{{- end }}
{{- if $jobMode }}
{{- if semverCompare "<1.29.0-0" $version }}
server.kind is Job: native sidecars need Kubernetes 1.29, and this cluster is {{ $version }}; set server.kind to Deployment.
{{- end }}
{{- if not $enabled }}
server.kind is Job: no experiment is enabled in queries.experiments, so the pod would do nothing; enable one.
{{- end }}
{{- end }}
{{- end -}}

{{- /* Everybody who can read pods can read a literal in a pod's environment (P17). */ -}}
{{- define "grace.rules.secrets" -}}
{{- $lists := dict "server.extraEnv" .Values.server.extraEnv "queries.extraEnv" .Values.queries.extraEnv }}
{{- range $list, $entries := $lists }}
{{- range $entries }}
{{- if include "grace.rules.secret" (dict "name" .name "value" (toString (.value | default ""))) }}
{{ $list }} gives {{ .name }} as plain text: everybody who can read the pod can read it (P17); use valueFrom.secretKeyRef.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /*
Whether a variable contains a secret: by the shape of its value, or by its name if the value is no reference, path,
number, switch or address. The same rule is in grace_client/policy/secrets.py. Context: {name, value}.
*/ -}}
{{- define "grace.rules.secret" -}}
{{- $shapes := list
  "\\bhf_[A-Za-z0-9]{16,}"
  "\\b(sk|gsk|nvapi|r8|pk_live|rk_live)[-_][A-Za-z0-9_-]{16,}"
  "\\b(gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"
  "\\bglpat-[A-Za-z0-9_-]{16,}"
  "\\b(AKIA|ASIA)[0-9A-Z]{16}\\b"
  "\\bAIza[0-9A-Za-z_-]{30,}"
  "\\bxox[abprs]-[0-9A-Za-z-]{10,}"
  "\\beyJ[\\w-]{10,}\\.eyJ[\\w-]{10,}\\.[\\w-]+"
  "-----BEGIN [A-Z ]*PRIVATE KEY-----"
  "\\b[a-z][a-z0-9+.-]*://[^\\s/:@$]+:[^\\s/@$][^\\s/@]*@"
  "\\bBearer\\s+[A-Za-z0-9._~+/-]{12,}" }}
{{- $name := regexReplaceAll "([a-z0-9])([A-Z])" .name "${1}_${2}" | upper }}
{{- $name = regexReplaceAll "[^A-Z0-9]+" $name "_" | trimAll "_" }}
{{- $names := "(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|APIKEY)$|_PWD$|(^|_)(API|ACCESS|SECRET|PRIVATE|ENCRYPTION|SIGNING|AUTH|ACCOUNT|SSH|MASTER)_KEY$" }}
{{- $vocabulary := "(^|_)(PAD|EOS|BOS|STOP|MASK|UNK|SEP|CLS|END|START|IMAGE|THINK|NEWLINE)_TOKEN$" }}
{{- $value := .value | trim | trimAll "\"'" }}
{{- $harmless := list
  "(?i)^(empty|none|null|no|off|dummy|unused|not-needed|false|true|yes|on)?$"
  "^(\\$\\(.*\\)|\\$\\{?\\w+[^}]*\\}?|`.*`|\\{\\{.*\\}\\})$"
  "^((~|\\.{0,2})/[\\w./ @+-]*|[\\w-]+\\.(json|yaml|yml|txt|key|pem|toml|cfg))$"
  "(?i)^[+-]?[\\d._]+(e[+-]?\\d+)?[a-z%]?$"
  "^[a-z][a-z0-9+.-]*://" }}
{{- if regexMatch (join "|" $shapes) .value }}true
{{- else if and (regexMatch $names $name) (not (regexMatch $vocabulary $name)) (not (regexMatch (join "|" $harmless) $value)) }}true
{{- end }}
{{- end -}}
