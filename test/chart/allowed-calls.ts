import { AuthorizationV1Api, KubeConfig } from '@kubernetes/client-node'

/**
 * Every call that a service account may make in a namespace (and everywhere, where a right is the whole cluster's), as the API
 * server's authorizer lists it for the account itself, asked by impersonation: `verb group/resource[ name]`.
 */
export async function allowedCalls(
  config: KubeConfig,
  account: { namespace: string; name: string },
  namespace: string,
): Promise<string[]> {
  const api = impersonating(config, account).makeApiClient(AuthorizationV1Api)
  const { status } = await api.createSelfSubjectRulesReview({ body: { spec: { namespace } } })
  const rules = status?.resourceRules ?? []
  const calls = rules.flatMap(({ verbs, apiGroups = [], resources = [], resourceNames = [] }) =>
    verbs.flatMap((verb) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => {
          const call = `${verb} ${group || 'core'}/${resource}`
          return resourceNames.length > 0 ? resourceNames.map((name) => `${call} ${name}`) : [call]
        }),
      ),
    ),
  )
  return [...new Set(calls)].toSorted()
}

/** The administrator in the account's name: `--as` of kubectl. */
function impersonating(config: KubeConfig, account: { namespace: string; name: string }): KubeConfig {
  const other = new KubeConfig()
  other.loadFromString(config.exportConfig())
  const impersonateUser = `system:serviceaccount:${account.namespace}:${account.name}`
  other.users = other.users.map((user) => ({ ...user, impersonateUser }))
  return other
}
