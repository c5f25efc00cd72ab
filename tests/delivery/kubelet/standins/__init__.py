"""Programs that stand for images which are not to be had: they run inside pods, by themselves."""
