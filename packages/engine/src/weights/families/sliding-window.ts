import { type SlidingWindow, windowEverywhere } from '@deos/domain'
import { type Fields, ranges } from '../fields.ts'

/**
 * Every `period`-th layer without a window.
 *
 * @param period - 0 gives all layers the window
 */
export const periodicWindows = (layers: number, period: number): readonly boolean[] =>
  Array.from({ length: layers }, (_, layer) => period === 0 || layer % period < period - 1)

/** Mistral: every layer looks back `sliding_window` positions, or all of them if it is null. */
export function everyLayerWindow(fields: Fields): SlidingWindow | null {
  if (!fields.has('sliding_window')) return null
  const layers = fields.integer('num_hidden_layers', ranges.layers)
  return windowEverywhere(fields.integer('sliding_window', ranges.context), layers)
}

/**
 * Qwen: `sliding_window` counts only if `use_sliding_window` is set, and then in layers from `max_window_layers`
 * on (or as `layer_types` says).
 */
export function optionalWindow(fields: Fields): SlidingWindow | null {
  const layers = windowedLayers(fields)
  if (!layers.includes(true)) return null
  return { size: fields.integer('sliding_window', ranges.context), layers, kind: 'sliding', ropeTheta: null }
}

/** Layers that `layer_types` calls `windowed`; `null` if it is absent. */
export function layersOfType(fields: Fields, windowed = 'sliding_attention'): readonly boolean[] | null {
  const layers = fields.integer('num_hidden_layers', ranges.layers)
  const types = fields.raw('layer_types')
  if (types === null) return null
  const known = ['full_attention', windowed]
  if (!Array.isArray(types) || types.length !== layers || !types.every((type) => known.includes(type))) {
    throw fields.error('layer_types', types, `a list of ${layers} times ${known.join(' or ')}`)
  }
  return types.map((type) => type === windowed)
}

function windowedLayers(fields: Fields): readonly boolean[] {
  const given = layersOfType(fields)
  if (given) return given
  const layers = fields.integer('num_hidden_layers', ranges.layers)
  const used = fields.boolean('use_sliding_window', false) && fields.has('sliding_window')
  const first = fields.integer('max_window_layers', { min: 0, max: ranges.layers.max }, 0)
  return Array.from({ length: layers }, (_, layer) => used && layer >= first)
}

/** Windows at regular distances, unless `layer_types` says otherwise. @param period - every so many-th layer has none */
export function regularWindow(fields: Fields, period: number): SlidingWindow | null {
  if (!fields.has('sliding_window')) return null
  const layers =
    layersOfType(fields) ?? periodicWindows(fields.integer('num_hidden_layers', ranges.layers), period)
  if (!layers.includes(true)) return null
  return { size: fields.integer('sliding_window', ranges.context), layers, kind: 'sliding', ropeTheta: null }
}

/** The window in all layers but each `period`-th, which looks back over everything. */
export const everyNthFull = (window: SlidingWindow, period: number): SlidingWindow => ({
  ...window,
  layers: periodicWindows(window.layers.length, period),
})
