import chromium from '@sparticuz/chromium'
import { type Browser, type BrowserContext, type Page, chromium as playwright } from 'playwright-core'

export interface Viewport {
  readonly width: number
  readonly height: number
}

/** Headless Chromium that comes with a package, so that nothing needs to be installed. */
export async function launchBrowser(): Promise<Browser> {
  // Not the arguments that the package proposes: they end the browser with its first window and switch its protection off.
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none']
  return playwright.launch({ executablePath: await chromium.executablePath(), args, headless: true })
}

/** A page that gathers everything a person with open developer tools would be bothered by. */
export class WatchedPage {
  readonly page: Page
  readonly problems: string[] = []
  readonly #context: BrowserContext

  private constructor(context: BrowserContext, page: Page) {
    this.#context = context
    this.page = page
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        this.problems.push(`console: ${message.text()} (${message.location().url})`)
    })
    page.on('pageerror', (error) => this.problems.push(`uncaught: ${error.message}`))
  }

  static async open(
    browser: Browser,
    viewport: Viewport,
    colorScheme: 'light' | 'dark',
    reducedMotion: 'reduce' | 'no-preference' = 'no-preference',
  ): Promise<WatchedPage> {
    const context = await browser.newContext({ locale: 'en-US', viewport, colorScheme, reducedMotion })
    await context.grantPermissions(['clipboard-read', 'clipboard-write'])
    const page = await context.newPage()
    const watched = new WatchedPage(context, page)
    await page.exposeFunction('reportViolation', (text: string) => watched.problems.push(`policy: ${text}`))
    await page.addInitScript(
      `addEventListener('securitypolicyviolation', (event) => reportViolation(event.violatedDirective + ' ' + event.blockedURI))`,
    )
    return watched
  }

  /** Problems since the last time, which are then forgotten. */
  takeProblems(): readonly string[] {
    return this.problems.splice(0)
  }

  /** Scroll bars below that no page should have, and controls that nobody can name. */
  async audit(): Promise<readonly string[]> {
    return this.page.evaluate(auditScript) as Promise<string[]>
  }

  close(): Promise<void> {
    return this.#context.close()
  }
}

/** Runs in the page, whose types this program does not know. */
const auditScript = `(() => {
  const found = []
  const root = document.documentElement
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll('body *')]
      .filter((element) => element.getBoundingClientRect().right > root.clientWidth + 1)
      .slice(0, 3)
      .map((element) => element.tagName + '.' + String(element.className).slice(0, 80))
    found.push('wider than the window by ' + (root.scrollWidth - root.clientWidth) + ' px: ' + wide.join(' | '))
  }
  const nameOf = (element) => {
    const by = element.getAttribute('aria-labelledby')
    const labelled = by ? by.split(/\\s+/).map((id) => document.getElementById(id)?.textContent ?? '').join(' ') : ''
    const labels = element.labels ? [...element.labels].map((label) => label.textContent).join(' ') : ''
    return (element.getAttribute('aria-label') || labelled || labels || element.textContent || element.title || '').trim()
  }
  for (const element of document.querySelectorAll('button, a[href], input, select, textarea, [role="tab"], [role="menuitem"]')) {
    const field = ['INPUT', 'SELECT', 'TEXTAREA'].includes(element.tagName)
    const name = field
      ? (element.getAttribute('aria-label') || (element.labels && [...element.labels].map((label) => label.textContent).join(' ')) || '').trim()
      : nameOf(element)
    if (name === '') found.push('has no name: ' + element.outerHTML.slice(0, 160))
  }
  for (const image of document.querySelectorAll('img, [role="img"], [role="meter"], [role="progressbar"], [role="dialog"], table')) {
    if (nameOf(image) === '' && !image.getAttribute('alt')) found.push('has no name: ' + image.outerHTML.slice(0, 160))
  }
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id)
  const twice = ids.filter((id, index) => ids.indexOf(id) !== index)
  if (twice.length > 0) found.push('ids that are there twice: ' + twice.join(', '))
  const headings = document.querySelectorAll('h1').length
  if (headings > 1) found.push(headings + ' first headings')
  return found
})()`
