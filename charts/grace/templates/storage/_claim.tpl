{{- /*
A claim that stays when its release is uninstalled. It is rendered if it does not exist yet, or if this release created
it. Another claim is used unchanged, because Helm refuses to change objects of other owners.
Context: {root, name, claim, component, hook}. `hook`: the claim must exist before the release's hooks run.
*/ -}}
{{- define "grace.claim" -}}
{{- $found := lookup "v1" "PersistentVolumeClaim" .root.Release.Namespace .name | default dict -}}
{{- $owner := dig "metadata" "annotations" "meta.helm.sh/release-name" "" $found -}}
{{- if dig "metadata" "deletionTimestamp" "" $found -}}
{{- fail (printf "Kubernetes is deleting the claim %s, and a new release would wait for it forever. Wait until kubectl get pvc %s finds nothing, then install again" .name .name) -}}
{{- end -}}
{{- if or (not $found) (and (not .hook) (eq $owner .root.Release.Name)) -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "grace.labels" (dict "root" .root "component" .component) | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
    {{- if .hook }}
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-weight: "-10"
    # Not the default policy, which would delete the claim before creating it again.
    helm.sh/hook-delete-policy: hook-failed
    {{- end }}
spec:
  accessModes:
    - {{ .claim.accessMode }}
  {{- with .claim.class }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ include "grace.quantity.text" .size | quote }}
{{- end -}}
{{- end -}}
