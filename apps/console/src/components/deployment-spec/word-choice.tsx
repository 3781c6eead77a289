interface WordChoiceProps {
  readonly label: string
  readonly words: readonly string[]
  readonly chosen: readonly string[]
  readonly onChoose: (words: readonly string[]) => void
}

/** Any number of a few words. */
export function WordChoice({ label, words, chosen, onChoose }: WordChoiceProps) {
  return (
    <fieldset className="flex min-w-0 flex-col gap-2">
      <legend className="mb-2 text-sm font-medium">{label}</legend>
      <div className="flex flex-wrap gap-2">
        {words.length === 0 && (
          <span className="text-sm text-ink-3">No machines are there to choose from.</span>
        )}
        {words.map((word) => {
          const isChosen = chosen.includes(word)
          return (
            <button
              key={word}
              type="button"
              aria-pressed={isChosen}
              onClick={() => onChoose(isChosen ? chosen.filter((each) => each !== word) : [...chosen, word])}
              className="rounded-full border border-line px-2.5 py-1 text-xs hover:bg-raised aria-pressed:border-ink aria-pressed:bg-ink aria-pressed:text-canvas"
            >
              {word}
            </button>
          )
        })}
      </div>
    </fieldset>
  )
}
