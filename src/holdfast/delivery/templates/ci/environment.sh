case "$environment" in
  [= names | join(" | ") =]) ;;
  *) fail "there is no environment '$environment'; there is [= names | join(", ") =]" ;;
esac
