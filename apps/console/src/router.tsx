import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router'
import { CrashedPage } from './app/crashed-page.tsx'
import { MissingPage } from './app/missing-page.tsx'
import { Shell } from './app/shell.tsx'
import { SkeletonPage } from './components/skeleton.tsx'
import {
  deploymentSearch,
  eventsSearch,
  keysSearch,
  machineSearch,
  machinesSearch,
  modelsSearch,
  newDeploymentSearch,
  overviewSearch,
  playgroundSearch,
  requestsSearch,
  signInSearch,
  usageSearch,
} from './search.ts'

const root = createRootRoute({ notFoundComponent: MissingPage })

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  validateSearch: signInSearch,
  component: lazyRouteComponent(() => import('./pages/sign-in/sign-in-page.tsx'), 'SignInPage'),
})

const setup = createRoute({
  getParentRoute: () => root,
  path: '/setup',
  component: lazyRouteComponent(() => import('./pages/setup/setup-page.tsx'), 'SetupPage'),
})

const invitation = createRoute({
  getParentRoute: () => root,
  path: '/invitation',
  component: lazyRouteComponent(() => import('./pages/invitation/invitation-page.tsx'), 'InvitationPage'),
})

/** Everything for people who are signed in. */
const app = createRoute({ getParentRoute: () => root, id: 'app', component: Shell })

const overview = createRoute({
  getParentRoute: () => app,
  path: '/',
  validateSearch: overviewSearch,
  component: lazyRouteComponent(() => import('./pages/overview/overview-page.tsx'), 'OverviewPage'),
})

const machines = createRoute({
  getParentRoute: () => app,
  path: '/machines',
  validateSearch: machinesSearch,
  component: lazyRouteComponent(() => import('./pages/machines/machines-page.tsx'), 'MachinesPage'),
})

const machine = createRoute({
  getParentRoute: () => app,
  path: '/machines/$machine',
  validateSearch: machineSearch,
  component: lazyRouteComponent(() => import('./pages/machine/machine-page.tsx'), 'MachinePage'),
})

const models = createRoute({
  getParentRoute: () => app,
  path: '/models',
  validateSearch: modelsSearch,
  component: lazyRouteComponent(() => import('./pages/models/models-page.tsx'), 'ModelsPage'),
})

const model = createRoute({
  getParentRoute: () => app,
  path: '/models/$model',
  component: lazyRouteComponent(() => import('./pages/model/model-page.tsx'), 'ModelPage'),
})

const deployments = createRoute({
  getParentRoute: () => app,
  path: '/deployments',
  component: lazyRouteComponent(() => import('./pages/deployments/deployments-page.tsx'), 'DeploymentsPage'),
})

const newDeployment = createRoute({
  getParentRoute: () => app,
  path: '/deployments/new',
  validateSearch: newDeploymentSearch,
  component: lazyRouteComponent(
    () => import('./pages/new-deployment/new-deployment-page.tsx'),
    'NewDeploymentPage',
  ),
})

const deployment = createRoute({
  getParentRoute: () => app,
  path: '/deployments/$deployment',
  validateSearch: deploymentSearch,
  component: lazyRouteComponent(() => import('./pages/deployment/deployment-page.tsx'), 'DeploymentPage'),
})

const playground = createRoute({
  getParentRoute: () => app,
  path: '/playground',
  validateSearch: playgroundSearch,
  component: lazyRouteComponent(() => import('./pages/playground/playground-page.tsx'), 'PlaygroundPage'),
})

const keys = createRoute({
  getParentRoute: () => app,
  path: '/keys',
  validateSearch: keysSearch,
  component: lazyRouteComponent(() => import('./pages/keys/keys-page.tsx'), 'KeysPage'),
})

const usage = createRoute({
  getParentRoute: () => app,
  path: '/usage',
  validateSearch: usageSearch,
  component: lazyRouteComponent(() => import('./pages/usage/usage-page.tsx'), 'UsagePage'),
})

const requests = createRoute({
  getParentRoute: () => app,
  path: '/requests',
  validateSearch: requestsSearch,
  component: lazyRouteComponent(() => import('./pages/requests/requests-page.tsx'), 'RequestsPage'),
})

const request = createRoute({
  getParentRoute: () => app,
  path: '/requests/$request',
  component: lazyRouteComponent(() => import('./pages/requests/request-page.tsx'), 'RequestPage'),
})

const events = createRoute({
  getParentRoute: () => app,
  path: '/events',
  validateSearch: eventsSearch,
  component: lazyRouteComponent(() => import('./pages/events/events-page.tsx'), 'EventsPage'),
})

const members = createRoute({
  getParentRoute: () => app,
  path: '/members',
  component: lazyRouteComponent(() => import('./pages/members/members-page.tsx'), 'MembersPage'),
})

const projects = createRoute({
  getParentRoute: () => app,
  path: '/projects',
  component: lazyRouteComponent(() => import('./pages/projects/projects-page.tsx'), 'ProjectsPage'),
})

const billing = createRoute({
  getParentRoute: () => app,
  path: '/billing',
  component: lazyRouteComponent(() => import('./pages/billing/billing-page.tsx'), 'BillingPage'),
})

const settings = createRoute({
  getParentRoute: () => app,
  path: '/settings',
  component: lazyRouteComponent(() => import('./pages/settings/settings-page.tsx'), 'SettingsPage'),
})

const account = createRoute({
  getParentRoute: () => app,
  path: '/account',
  component: lazyRouteComponent(() => import('./pages/account/account-page.tsx'), 'AccountPage'),
})

const routeTree = root.addChildren([
  signIn,
  setup,
  invitation,
  app.addChildren([
    overview,
    machines,
    machine,
    models,
    model,
    deployments,
    newDeployment,
    deployment,
    playground,
    keys,
    usage,
    requests,
    request,
    events,
    members,
    projects,
    billing,
    settings,
    account,
  ]),
])

export const router = createRouter({
  routeTree,
  defaultPreload: 'intent',
  defaultPendingComponent: SkeletonPage,
  defaultErrorComponent: CrashedPage,
  defaultNotFoundComponent: MissingPage,
  scrollRestoration: true,
  // Another machine is another page: nothing of the one before is shown meanwhile.
  defaultRemountDeps: ({ params }) => params,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
