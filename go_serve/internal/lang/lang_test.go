package lang

import (
	"reflect"
	"regexp"
	"testing"
)

func TestChoose(t *testing.T) {
	for locale, want := range map[string]*Strings{
		"ru_RU.UTF-8": &Russian, "ru": &Russian, "RU": &Russian, "en_US.UTF-8": &English, "": &English, "C": &English,
		"de_DE": &English,
	} {
		if choose(locale) != want {
			t.Errorf("choose(%q) is wrong", locale)
		}
	}
}

func TestDetectTakesTheFirstThatIsSet(t *testing.T) {
	t.Setenv("LC_ALL", "")
	t.Setenv("LC_MESSAGES", "ru_RU.UTF-8")
	t.Setenv("LANG", "en_US.UTF-8")
	if Detect() != &Russian {
		t.Error("LC_MESSAGES was not used")
	}
	t.Setenv("LC_ALL", "C.UTF-8")
	if Detect() != &English {
		t.Error("LC_ALL was not used")
	}
}

// TestLanguagesAgree holds that every string exists in both languages and formats the same values in the same order.
func TestLanguagesAgree(t *testing.T) {
	verbs := regexp.MustCompile(`%[.0-9]*[a-z]`)
	en, ru := reflect.ValueOf(English), reflect.ValueOf(Russian)
	for i := range en.NumField() {
		name := en.Type().Field(i).Name
		a, b := en.Field(i).String(), ru.Field(i).String()
		if a == "" || b == "" {
			t.Errorf("%s is missing in a language", name)
		}
		if x, y := verbs.FindAllString(a, -1), verbs.FindAllString(b, -1); !reflect.DeepEqual(x, y) {
			t.Errorf("%s formats %v in English and %v in Russian", name, x, y)
		}
	}
}
