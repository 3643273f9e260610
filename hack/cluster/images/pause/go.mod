module backstay.dev/hack/cluster/images/pause

go 1.25.0
