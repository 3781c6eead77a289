import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launchBrowser, type Viewport, WatchedPage } from './browser.ts'
import { UpFleet } from './up-fleet.ts'

const shots = fileURLToPath(new URL('../.output/screenshots/journey/', import.meta.url))
const desktop: Viewport = { width: 1440, height: 900 }
const phone: Viewport = { width: 390, height: 844 }
const patienceMs = 30_000

let fleet: UpFleet
let browser: Browser
let watched: WatchedPage
let page: Page

beforeAll(async () => {
  mkdirSync(shots, { recursive: true })
  fleet = await UpFleet.start({ ephemeral: true })
  browser = await launchBrowser()
  watched = await WatchedPage.open(browser, desktop, 'light')
  page = watched.page
  page.setDefaultTimeout(patienceMs)
}, 180_000)

afterAll(async () => {
  await watched?.close()
  await browser?.close()
  await fleet?.stop()
}, 60_000)

/** Pictures of the page at both widths, to be looked at. */
async function shoot(name: string): Promise<void> {
  await page.screenshot({ path: `${shots}${name}-desktop.png`, fullPage: true })
  await page.setViewportSize(phone)
  await page.screenshot({ path: `${shots}${name}-phone.png`, fullPage: true })
  expect(await watched.audit(), `${name} at phone width`).toEqual([])
  await page.setViewportSize(desktop)
}

const open = (path: string) => page.goto(new URL(path, fleet.ready.controlUrl).toString())

test('the printed link makes the first owner', async () => {
  await page.goto(String(fleet.ready.setupUrl))
  await page.getByLabel('Your name').fill('Ada Lovelace')
  await page.getByLabel('E-mail').fill('ada@example.org')
  await page.getByLabel('Password').fill('a long enough password')
  await page.getByLabel('Organisation').fill('Analytical Engines')
  await shoot('setup')
  await page.getByRole('button', { name: 'Create the owner account' }).click()
  await page.getByRole('heading', { name: 'Overview' }).waitFor()
  await page.getByText('Analytical Engines').first().waitFor()
  await page.getByText('Every deployment is ready.').first().waitFor()
  await shoot('overview')
})

test('four machines are there, ready and measured', async () => {
  await open('/machines')
  for (const name of ['workstation', 'desktop', 'mini', 'laptop']) {
    await page.getByRole('link', { name, exact: true }).waitFor()
  }
  expect(await page.getByText('ready', { exact: true }).count()).toBeGreaterThanOrEqual(4)
  await shoot('machines')
  await page.getByRole('link', { name: 'workstation', exact: true }).click()
  await page.getByRole('heading', { level: 1, name: 'workstation' }).waitFor()
  await shoot('machine')
})

test('the deployment shows its ring of real stages', async () => {
  await open('/deployments')
  await page.getByRole('link', { name: fleet.ready.model, exact: true }).first().click()
  const ring = page.getByRole('img', { name: /layers/i }).first()
  await ring.waitFor()
  const { replicas } = await fleet.client.deployments.show({ params: { deployment: fleet.ready.deployment } })
  const [replica] = replicas
  expect(replica!.stages.length).toBeGreaterThan(1)
  for (const { machineName } of replica!.stages) {
    expect(await ring.getAttribute('aria-label')).toContain(machineName)
  }
  await shoot('deployment')
})

test('the playground streams an answer and shows its way', async () => {
  await open('/playground')
  await page.getByLabel('Max. tokens').fill('24')
  await page.getByRole('textbox', { name: 'Message' }).fill('Ownership in Rust means that')
  await page.getByRole('button', { name: 'Send' }).click()
  await page.getByText('The answer is complete.').waitFor({ state: 'attached' })
  await page
    .getByText(/decode/i)
    .first()
    .waitFor()
  await shoot('playground')
})

test('a key that was made here works with the copied curl', async () => {
  await open('/keys')
  await page
    .getByRole('button', { name: /Create/ })
    .first()
    .click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('journey')
  await dialog.getByRole('button', { name: /^Create/ }).click()
  await dialog.getByText('it is shown only this once').waitFor()
  const secret = await dialog.locator('code').first().innerText()
  expect(secret).toMatch(/^deos_k_/)
  const snippet = await dialog.locator('pre').first().innerText()
  expect(snippet).toContain(`${fleet.ready.gatewayUrl}/v1`)
  await shoot('key')
  const answer = await useKey(snippet, secret)
  expect(answer.choices?.[0]).toBeDefined()
  await dialog.getByRole('button', { name: 'Done' }).click()
  expect(await page.content()).not.toContain(secret)
})

/** As a person would: the snippet in a shell. Where there is no curl, the same call is made from here. */
async function useKey(snippet: string, secret: string): Promise<{ choices?: unknown[] }> {
  const shell = spawnSync('sh', ['-c', snippet], { encoding: 'utf8', timeout: patienceMs })
  if (shell.status === 0) return JSON.parse(shell.stdout) as { choices?: unknown[] }
  const response = await fetch(`${fleet.ready.gatewayUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: fleet.ready.model, messages: [{ role: 'user', content: 'Hello!' }] }),
  })
  return (await response.json()) as { choices?: unknown[] }
}

test('what happened is told, and nothing went wrong in the browser', async () => {
  for (const path of ['/events', '/requests', '/usage', '/models', '/settings', '/members', '/billing']) {
    await open(path)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await shoot(path.slice(1))
  }
  // The playground asks for a request's record until the gateway has handed it over.
  const early = /status of 404 .*\/api\/v1\/requests\//
  expect(watched.takeProblems().filter((problem) => !early.test(problem))).toEqual([])
})

test('after signing out, the pages ask who one is', async () => {
  await page
    .getByRole('button', { name: /account/i })
    .first()
    .click()
  await page.getByRole('menuitem', { name: /sign out/i }).click()
  await page.getByLabel('Password').waitFor()
  await page.getByLabel('E-mail').fill('ada@example.org')
  await page.getByLabel('Password').fill('a long enough password')
  await page.getByRole('button', { name: /sign in/i }).click()
  await page.getByRole('button', { name: /account/i }).waitFor()
  await shoot('signed-in')
})
