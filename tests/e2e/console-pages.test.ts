import { existsSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MockServer, type MockServerOptions } from '../../apps/console/src/testing/mock-server.ts'
import { launchBrowser, type Viewport, WatchedPage } from './browser.ts'

const folder = fileURLToPath(new URL('../../dist/console', import.meta.url))
const screenshots = fileURLToPath(new URL('../.output/screenshots', import.meta.url))

const desktop: Viewport = { width: 1440, height: 900 }
const phone: Viewport = { width: 390, height: 844 }

/** Looked at when asked for: they double the time, and rarely differ in anything but colour. */
const otherLooks = [
  ['desktop', 'dark', desktop],
  ['phone', 'light', phone],
] as const

const looks = [
  ['desktop', 'light', desktop],
  ['phone', 'dark', phone],
  ...(process.env.DEOS_ALL_LOOKS ? otherLooks : []),
] as const

/** Every page, and a text by which it is known to be there. */
const pages = [
  ['overview', '/', 'Running, with trouble'],
  ['machines', '/machines', 'hel-rack-1'],
  ['machine', '/machines/machine-hel-rack-1', 'Last heartbeat'],
  ['machine-hardware', '/machines/machine-hel-rack-1?tab=hardware', 'Reads weights'],
  ['machine-stages', '/machines/machine-hel-rack-1?tab=stages', 'stage-hel-rack-1'],
  ['machine-links', '/machines/machine-hel-rack-1?tab=links', 'There and back'],
  ['machine-events', '/machines/machine-vir-a100?tab=events', 'vir-a100 is offline'],
  ['models', '/models', 'nano-chat'],
  ['model', '/models/model-qwen', 'Vocabulary'],
  ['deployments', '/deployments', 'nightly-batch'],
  ['new-deployment', '/deployments/new?model=model-qwen', 'Why so'],
  ['deployment', '/deployments/deployment-chat', 'KV cache in use'],
  ['deployment-charts', '/deployments/deployment-chat?tab=charts', 'Throughput'],
  ['deployment-revisions', '/deployments/deployment-chat?tab=revisions', 'Roll back'],
  ['deployment-logs', '/deployments/deployment-chat?tab=logs', 'Not bold'],
  ['deployment-decisions', '/deployments/deployment-chat?tab=decisions', 'Why these machines'],
  ['playground', '/playground', 'Say something'],
  ['keys', '/keys', 'support-desk-production'],
  ['usage', '/usage', 'Tokens out'],
  ['usage-models', '/usage?by=model', 'qwen3-batch'],
  ['requests', '/requests', 'interrupted'],
  ['request', '/requests/req-01JD7074Q2', 'Where the time went'],
  ['events', '/events', 'was scaled to 2 replicas'],
  ['members', '/members', 'Grace Okafor'],
  ['projects', '/projects', 'Support desk'],
  ['billing', '/billing', 'Invoice 2026-114'],
  ['settings', '/settings', 'Save settings'],
  ['account', '/account', 'Change password'],
  ['missing', '/no-such-page', 'There is no such page'],
] as const

let browser: Browser

beforeAll(async () => {
  if (!existsSync(folder)) throw new Error(`${folder} does not exist. Run "npm run build" first.`)
  mkdirSync(screenshots, { recursive: true })
  browser = await launchBrowser()
})

afterAll(() => browser?.close())

async function withPage(
  options: Omit<MockServerOptions, 'folder'>,
  viewport: Viewport,
  scheme: 'light' | 'dark',
  visit: (watched: WatchedPage, server: MockServer) => Promise<void>,
): Promise<void> {
  const server = await MockServer.start({ folder, ...options })
  const watched = await WatchedPage.open(browser, viewport, scheme)
  watched.page.setDefaultTimeout(15_000)
  try {
    await visit(watched, server)
  } finally {
    await watched.close()
    await server.stop()
  }
}

describe.each(looks)('on a %s in %s colours', (device, scheme, viewport) => {
  test('every page is whole', { timeout: 240_000 }, async () => {
    await withPage({}, viewport, scheme, async (watched, server) => {
      const findings: string[] = []
      for (const [name, path, text] of pages) {
        await watched.page.goto(server.url + path)
        const shown = watched.page.getByText(text).locator('visible=true').first()
        await shown.waitFor().catch(() => findings.push(`${name}: "${text}" is not there`))
        // Charts and rings are measured once they have a place.
        await watched.page.waitForTimeout(250)
        findings.push(
          ...[...watched.takeProblems(), ...(await watched.audit())].map((problem) => `${name}: ${problem}`),
        )
        await watched.page.screenshot({
          path: `${screenshots}/${name}-${device}-${scheme}.png`,
          fullPage: true,
        })
      }
      expect(findings).toEqual([])
    })
  })
})

describe.each([
  [
    'empty',
    'light',
    desktop,
    [
      'No machines yet',
      'No models yet',
      'Nothing is deployed',
      'No deployment takes requests',
      'No keys yet',
      'Nothing was used',
      'No requests yet',
      'Nothing has happened',
      'No model is ready',
    ],
  ],
  [
    'empty',
    'dark',
    phone,
    [
      'No machines yet',
      'No models yet',
      'Nothing is deployed',
      'No deployment takes requests',
      'No keys yet',
      'Nothing was used',
      'No requests yet',
      'Nothing has happened',
      'No model is ready',
    ],
  ],
  ['failing', 'light', desktop, Array<string>(9).fill('The database has not answered for 12 s.')],
  ['failing', 'dark', phone, Array<string>(9).fill('The database has not answered for 12 s.')],
] as const)('an installation that is %s, in %s colours', (scenario, scheme, viewport, texts) => {
  const paths = [
    '/machines',
    '/models',
    '/deployments',
    '/playground',
    '/keys',
    '/usage',
    '/requests',
    '/events',
    '/deployments/new',
  ]

  test('says so on every page, and what to do', { timeout: 120_000 }, async () => {
    await withPage({ scenario }, viewport, scheme, async (watched, server) => {
      const findings: string[] = []
      for (const [index, path] of paths.entries()) {
        await watched.page.goto(server.url + path)
        const shown = watched.page.getByText(texts[index]!).locator('visible=true').first()
        await shown.waitFor().catch(() => findings.push(`${path}: "${texts[index]}" is not there`))
        const problems = watched.takeProblems().filter((problem) => !problem.includes('503'))
        findings.push(...[...problems, ...(await watched.audit())].map((problem) => `${path}: ${problem}`))
        const name = path.slice(1).replace('/', '-')
        await watched.page.screenshot({
          path: `${screenshots}/${scenario}-${name}-${viewport.width}-${scheme}.png`,
          fullPage: true,
        })
      }
      if (scenario === 'failing') {
        await watched.page.getByRole('button', { name: 'Try again' }).first().waitFor()
        await watched.page.getByText('Look at the control plane’s log').first().waitFor()
      }
      expect(findings).toEqual([])
    })
  })
})

test.each(['en-US@posix', 'C'])('a browser whose language is %s shows charts, too', async (language) => {
  await withPage({}, desktop, 'light', async (watched, server) => {
    await watched.page.addInitScript(
      `Object.defineProperty(Navigator.prototype, 'language', { get: () => ${JSON.stringify(language)} })`,
    )
    await watched.page.goto(server.url)
    await watched.page.locator('canvas').first().waitFor()
    expect(watched.takeProblems()).toEqual([])
  })
})

describe('what people do', () => {
  test('sign in, with a wrong password first, and arrive where they wanted to go', async () => {
    await withPage({ scenario: 'signed-out' }, phone, 'light', async ({ page, ...rest }, server) => {
      await page.goto(`${server.url}/keys`)
      await page.getByLabel('E-mail').fill('ada@nordlys.example')
      await page.getByLabel('Password').fill('wrong')
      await page.screenshot({ path: `${screenshots}/sign-in-phone.png` })
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByText('do not belong together').waitFor()
      await page.getByLabel('Password').fill('correct horse')
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByRole('heading', { name: 'API keys' }).waitFor()
      expect(new URL(page.url()).pathname).toBe('/keys')
      expect(rest.problems.filter((problem) => !problem.includes('401'))).toEqual([])
    })
  })

  test('set up by the link of the first start; without it they are told where it is', async () => {
    await withPage({ scenario: 'set-up' }, desktop, 'dark', async (watched, server) => {
      const { page } = watched
      await page.goto(server.url)
      await page.getByText('Open the link that the first start printed').waitFor()
      await page.goto('about:blank')
      await page.goto(`${server.url}/setup#token=${'a1'.repeat(16)}`)
      await page.getByRole('button', { name: 'Create the owner account' }).click()
      await page.getByRole('alert').first().waitFor()
      await page.getByLabel('Your name').fill('Ada')
      await page.getByLabel('E-mail').fill('ada@nordlys.example')
      await page.getByLabel('Password').fill('correct horse')
      await page.getByLabel('Organisation').fill('Nordlys')
      await page.screenshot({ path: `${screenshots}/setup-desktop.png` })
      await page.getByRole('button', { name: 'Create the owner account' }).click()
      await page.getByRole('heading', { name: 'Overview' }).waitFor()
      expect(page.url()).not.toContain('token')
      expect(watched.takeProblems()).toEqual([])
    })
  })

  test('accept an invitation with a new account', async () => {
    await withPage({ scenario: 'signed-out' }, phone, 'dark', async (watched, server) => {
      const { page } = watched
      await page.goto(`${server.url}/invitation#token=${'b2'.repeat(16)}`)
      await page.getByLabel('Your name').fill('Linnea')
      await page.getByLabel('Password').fill('correct horse')
      await page.screenshot({ path: `${screenshots}/invitation-phone.png` })
      await page.getByRole('button', { name: 'Create the account and join' }).click()
      await page.getByRole('heading', { name: 'Overview' }).waitFor()
      expect(watched.takeProblems()).toEqual([])
    })
  })

  test('talk to a model: the answer streams, is plain text where it must be, and shows where its time went', async () => {
    await withPage({}, desktop, 'light', async (watched, server) => {
      const { page } = watched
      await page.goto(`${server.url}/playground`)
      await page.getByLabel('Message', { exact: true }).fill('How does a ring work?')
      await page.keyboard.press('Enter')
      await page.getByRole('button', { name: 'Stop' }).waitFor()
      await page.getByText('tokens out').waitFor()
      await page.getByText('this stays text').waitFor()
      expect(await page.locator('.prose script, .prose img').count()).toBe(0)
      await page.getByText('Where the time went').waitFor()
      await page.getByText('4 · mum-3090').waitFor()
      await page.screenshot({ path: `${screenshots}/playground-answer-desktop.png` })
      await page.getByLabel('Message', { exact: true }).fill('Again, please.')
      await page.keyboard.press('Enter')
      await page.getByRole('button', { name: 'Stop' }).click()
      await page.getByText('Stopped').waitFor()
      expect(watched.takeProblems()).toEqual([])
      expect(await watched.audit()).toEqual([])
    })
  })

  test('create a key, see its secret once, and copy a request with it', async () => {
    await withPage({}, desktop, 'dark', async (watched, server) => {
      const { page } = watched
      await page.goto(`${server.url}/keys`)
      await page.getByRole('button', { name: 'Create key' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
      await page.getByRole('alert').first().waitFor()
      await page.getByLabel('Name').fill('my-program')
      await page.screenshot({ path: `${screenshots}/key-form-desktop.png` })
      await page.getByRole('dialog').getByRole('button', { name: 'Create key' }).click()
      await page.getByText('it is shown only this once').waitFor()
      await page.getByRole('dialog').getByRole('button', { name: 'Copy curl snippet' }).click()
      const copied = (await page.evaluate('navigator.clipboard.readText()')) as string
      expect(copied).toContain('Authorization: Bearer deos_k_Zq3f')
      expect(copied).toMatch(/^curl http:\/\/127\.0\.0\.1:\d+\/v1\/chat\/completions/)
      await page.screenshot({ path: `${screenshots}/key-created-desktop.png` })
      await page.getByRole('button', { name: 'Done' }).click()
      expect(await page.getByText('deos_k_Zq3fZq3f').count()).toBe(0)
      expect(watched.takeProblems()).toEqual([])
    })
  })

  test('change a key: what is left alone is sent as it was, its end not at all', async () => {
    await withPage({}, phone, 'light', async (watched, server) => {
      const { page } = watched
      await page.goto(`${server.url}/keys`)
      await page.getByRole('button', { name: 'Edit support-desk-production' }).click()
      await page.getByLabel('Budget').fill('cheap')
      await page.getByRole('button', { name: 'Save' }).click()
      await page.getByText('Must be an amount').waitFor()
      await page.getByLabel('Budget').fill('250')
      await page.screenshot({ path: `${screenshots}/key-edit-phone.png` })
      const sent = page.waitForRequest((request) => request.method() === 'PATCH')
      await page.getByRole('button', { name: 'Save' }).click()
      const body = (await sent).postDataJSON()
      expect(body).toEqual({
        name: 'support-desk-production',
        budget: { limit: { currency: 'USD', microUnits: '250000000' }, period: 'month' },
        rateLimit: { requestsPerMinute: 300, tokensPerMinute: null },
      })
      await page.getByText('is changed.').first().waitFor()
      expect(watched.takeProblems()).toEqual([])
    })
  })

  test('revise target and policy: only what changed is sent', async () => {
    await withPage({}, desktop, 'light', async (watched, server) => {
      const { page } = watched
      await page.goto(`${server.url}/deployments/deployment-chat?tab=revisions`)
      await page.getByRole('button', { name: 'New revision' }).click()
      const submit = page.getByRole('button', { name: 'Roll it out' })
      expect(await submit.isDisabled()).toBe(true)
      await page.getByLabel('Time to first token, ms').fill('250')
      await page.getByRole('button', { name: 'eu-north' }).click()
      await page.screenshot({ path: `${screenshots}/revise-desktop.png` })
      expect(await watched.audit()).toEqual([])
      const sent = page.waitForRequest((request) => request.method() === 'POST')
      await submit.click()
      expect((await sent).postDataJSON()).toEqual({
        changes: { target: { ttftMs: 250, tpotMs: 45 }, policy: { regions: ['eu-north'], providers: null } },
      })
      await page.getByText('is rolled out.').first().waitFor()
      expect(watched.takeProblems()).toEqual([])
    })
  })

  test('add a machine, and act on one; a refusal shows what to do', async () => {
    await withPage({}, phone, 'light', async (watched, server) => {
      const { page } = watched
      await page.goto(`${server.url}/machines`)
      await page.getByRole('button', { name: 'Add machine' }).click()
      await page.screenshot({ path: `${screenshots}/add-machine-phone.png` })
      await page.getByRole('button', { name: 'Create the token' }).click()
      await page.getByText('--token deos_j_').waitFor()
      await page.screenshot({ path: `${screenshots}/join-command-phone.png` })
      await page.getByRole('button', { name: 'Done' }).click()
      await page.getByRole('button', { name: 'Actions for hel-rack-1' }).click()
      await page.getByRole('menuitem', { name: 'Drain' }).click()
      await page.getByLabel('Reason').fill('New fan')
      await page.getByRole('button', { name: 'Drain', exact: true }).click()
      await page.getByText('Add a machine first.').waitFor()
      await page.screenshot({ path: `${screenshots}/drain-refused-phone.png` })
      await page.keyboard.press('Escape')
      expect(server.api.calls).toContain('machines.drain')
      expect(watched.takeProblems().filter((problem) => !problem.includes('409'))).toEqual([])
      expect(await watched.audit()).toEqual([])
    })
  })

  test('deploy: the preview follows the form, and says what is missing', async () => {
    await withPage({}, desktop, 'light', async (watched, server) => {
      const { page } = watched
      await page.goto(`${server.url}/deployments/new`)
      await page.getByText('Why so').waitFor()
      await page.getByRole('button', { name: 'us-west' }).click()
      await page.getByText('Nothing fits').waitFor()
      await page.screenshot({ path: `${screenshots}/new-deployment-infeasible-desktop.png` })
      await page.getByRole('button', { name: 'us-west' }).click()
      await page.getByText('Why so').waitFor()
      await page.getByLabel('Replicas, at least').fill('5')
      await page.getByText('Some fields need a look').waitFor()
      await page.getByLabel('Replicas, at least').fill('1')
      await page.getByRole('button', { name: 'Deploy', exact: true }).click()
      await page.getByText('KV cache in use').waitFor()
      expect(watched.takeProblems()).toEqual([])
    })
  })

  test('replicas for prompts: wished for in the form, told apart, and why each prompt went where it did', async () => {
    await withPage({}, desktop, 'light', async (watched, server) => {
      const { page } = watched
      await page.goto(`${server.url}/deployments/new`)
      await page.getByText('Why so').waitFor()
      await page.getByLabel('Replicas for prompts only').fill('0.5')
      await page.getByText('Some fields need a look').waitFor()
      await page.getByLabel('Replicas for prompts only').fill('1')
      await page.getByLabel('KV on its way from them').selectOption('guarded')
      const sent = page.waitForRequest(
        (request) => request.method() === 'POST' && request.url().endsWith('/api/v1/deployments'),
      )
      await page.getByRole('button', { name: 'Deploy', exact: true }).click()
      expect((await sent).postDataJSON().spec.split).toEqual({ prefillReplicas: 1, kvQuality: 'guarded' })
      await page.getByText('computes prompts', { exact: true }).waitFor()
      await page.getByText('1 ready of 1, KV lossless').waitFor()
      const decisions = page.getByRole('table', { name: 'Where prompts were computed' })
      await decisions.getByText('41 positions are less than the 128 of a block.').first().waitFor()
      await decisions.getByRole('link').first().click()
      await page.getByText('Prompt computed elsewhere').waitFor()
      await page.getByText('replica-chat-3').waitFor()
      expect(watched.takeProblems()).toEqual([])
    })
  })

  test('find their way by keyboard: skip link, palette, drawer', async () => {
    await withPage({}, desktop, 'light', async (watched, server) => {
      const { page } = watched
      await page.goto(server.url)
      await page.getByRole('heading', { name: 'Overview' }).waitFor()
      await page.keyboard.press('Tab')
      expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to content')
      await page.keyboard.press('Control+k')
      await page.getByRole('combobox', { name: 'Page or thing to go to' }).fill('machine syd')
      await page.screenshot({ path: `${screenshots}/palette-desktop.png` })
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: 'syd-4080' }).waitFor()
      await page.setViewportSize(phone)
      await page.getByRole('button', { name: 'Open navigation' }).click()
      await page.screenshot({ path: `${screenshots}/drawer-phone.png` })
      await page.getByRole('dialog').getByRole('link', { name: 'Usage' }).click()
      await page.getByRole('heading', { name: 'Usage' }).waitFor()
      expect(await page.getByRole('dialog').count()).toBe(0)
      expect(watched.takeProblems()).toEqual([])
    })
  })

  test.each([
    ['viewer', '/machines', 'Add machine'],
    ['viewer', '/deployments', 'New deployment'],
    ['viewer', '/keys', 'Create key'],
    ['developer', '/members', 'Invite'],
    ['supplier', '/machines', 'Actions for'],
  ] as const)('a %s is offered on %s only what the role allows ("%s")', async (role, path, action) => {
    await withPage({ role }, desktop, 'light', async (watched, server) => {
      await watched.page.goto(server.url + path)
      await watched.page.getByRole('row').nth(1).waitFor()
      const offered = await watched.page
        .getByRole('button', { name: action })
        .or(watched.page.getByRole('link', { name: action }))
        .count()
      expect(offered > 0).toBe(role === 'supplier')
      expect(watched.takeProblems()).toEqual([])
    })
  })

  test('a page that the role may not see says so, and asks the server for nothing', async () => {
    await withPage({ role: 'supplier' }, desktop, 'light', async (watched, server) => {
      await watched.page.goto(`${server.url}/deployments`)
      await watched.page.getByText('Deployments is not open to you').waitFor()
      expect(server.api.calls.filter((call) => call.startsWith('deployments.'))).toEqual([])
    })
  })

  test('another organisation shows nothing of the one before, and signing out ends it', async () => {
    await withPage({}, desktop, 'light', async (watched, server) => {
      const { page } = watched
      await page.goto(`${server.url}/machines`)
      await page.getByRole('button', { name: 'Organisation Nordlys Research' }).click()
      await page.getByRole('menuitem', { name: 'The Attic' }).click()
      await page.getByRole('button', { name: 'Organisation The Attic' }).waitFor()
      await page.getByRole('button', { name: 'Your account' }).click()
      await page.getByRole('menuitem', { name: 'Sign out' }).click()
      await page.getByRole('button', { name: 'Sign in' }).waitFor()
      expect(watched.takeProblems()).toEqual([])
    })
  })
})
