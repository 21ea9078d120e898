"""Steps of a sync: the only home of `@task`, and the only place where a PCO resource becomes a row."""
