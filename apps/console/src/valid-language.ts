/**
 * Browsers in a POSIX locale call their language `en-US@posix` or `C`, which is no language tag, and uPlot 1.6.32 hands
 * that to `Intl` as soon as it is loaded: every page with a chart would fail.
 *
 * @see https://github.com/leeoniya/uPlot/issues/1053
 */
try {
  Intl.getCanonicalLocales(navigator.language)
} catch {
  Object.defineProperty(navigator, 'language', { value: 'en-US', configurable: true })
}

export {}
